"""The feed: RSS 2.0 with the tags of Apple and of Podcasting 2.0."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from lxml import etree

from examples.podcast.chapter_files import PODLOVE, podlove
from examples.podcast.records import Chapter
from examples.podcast.settings import Show
from trtforge.errors import ConfigError

ITUNES = "http://www.itunes.com/dtds/podcast-1.0.dtd"
PODCAST = "https://podcastindex.org/namespace/1.0"
ATOM = "http://www.w3.org/2005/Atom"
CONTENT = "http://purl.org/rss/1.0/modules/content/"
GUID_NAMESPACE = uuid.UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6")

_MAX_DESCRIPTION_BYTES = 4000
_MAX_PERSON_CHARS = 128
_TYPES = {".vtt": "text/vtt", ".srt": "application/x-subrip", ".json": "application/json"}


@dataclass(frozen=True)
class Item:
    """What the feed says of an episode.

    Parameters
    ----------
    title, description : plain text.
    notes : show notes as HTML.
    audio : name of the file; num_bytes : its exact size; duration : in seconds.
    guid : never changes once it is published.
    published : RFC 3339 time.
    transcripts : file name and language of each, the first the one that players should take.
    chapters_file : name of the JSON chapters.
    chapters : for Podlove.
    episode, season : numbers; 0 leaves them out.
    """

    title: str
    description: str
    notes: str
    audio: str
    num_bytes: int
    duration: float
    guid: str
    published: str
    transcripts: Sequence[tuple[str, str]]
    chapters_file: str
    chapters: Sequence[Chapter]
    episode: int = 0
    season: int = 0


def show_guid(feed_url: str) -> str:
    """Return the ``podcast:guid`` of a feed: a UUID of its address without scheme and trailing slashes.

    References
    ----------
    Podcast namespace, "guid": UUIDv5 in ead4c236-bf58-58c6-a2c6-a6b28d128cb6.
    """
    return str(uuid.uuid5(GUID_NAMESPACE, feed_url.partition("://")[2].rstrip("/")))


def episode_guid(feed_url: str, audio_sha256: str) -> str:
    """Return the guid of an episode: the same recording in the same feed has the same one, always."""
    return str(uuid.uuid5(uuid.UUID(show_guid(feed_url)), audio_sha256))


def make_feed(show: Show, item: Item, *, image: str, earlier: Path | None = None) -> bytes:
    """Write the feed of a show.

    Parameters
    ----------
    show : the channel.
    item : the episode.
    image : file name of the cover; empty leaves it out, and Apple will refuse the feed.
    earlier : the feed so far: its other episodes stay as they are, the newest first. One of the same guid
        is replaced.

    Returns
    -------
    XML in UTF-8.

    Raises
    ------
    ConfigError : the feed so far cannot be read, is that of another show, or another of its episodes has its
        files where this one's would lie.

    References
    ----------
    RSS 2.0.1 (rssboard.org); Apple, "A Podcaster's Guide to RSS"; the podcast namespace (podcastindex.org).
    """
    root = etree.Element(
        "rss",
        nsmap={"itunes": ITUNES, "podcast": PODCAST, "atom": ATOM, "content": CONTENT, "psc": PODLOVE},
        version="2.0",
    )
    channel = etree.SubElement(root, "channel")
    _add(channel, "title", show.title)
    _add(channel, "link", show.site_url)
    _add(channel, "description", _cut(show.description))
    _add(channel, "language", show.language)
    etree.SubElement(channel, f"{{{ATOM}}}link", href=show.feed_url, rel="self", type="application/rss+xml")
    _add(channel, f"{{{ITUNES}}}author", show.author)
    _add(channel, f"{{{ITUNES}}}explicit", str(show.explicit).lower())
    _add(channel, f"{{{ITUNES}}}type", "episodic")
    etree.SubElement(channel, f"{{{ITUNES}}}category", text=show.category)
    if image:
        etree.SubElement(channel, f"{{{ITUNES}}}image", href=_url(show, item, image))
    if show.owner_email:
        owner = etree.SubElement(channel, f"{{{ITUNES}}}owner")
        _add(owner, f"{{{ITUNES}}}name", show.author)
        _add(owner, f"{{{ITUNES}}}email", show.owner_email)
    _add(channel, f"{{{PODCAST}}}guid", show_guid(show.feed_url))
    _add(channel, f"{{{PODCAST}}}locked", "no")
    for name, role in show.people.items():
        _add(channel, f"{{{PODCAST}}}person", name[:_MAX_PERSON_CHARS], role=role)
    items = _others(earlier, show, item) if earlier else []
    _add_item(element := etree.Element("item"), show, item)
    channel.extend(sorted([element, *items], key=_published, reverse=True))
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def _add_item(element: Any, show: Show, item: Item) -> None:
    _add(element, "title", item.title)
    _add(element, "description", _cut(item.description))
    encoded = etree.SubElement(element, f"{{{CONTENT}}}encoded")
    encoded.text = etree.CDATA(item.notes)
    etree.SubElement(
        element, "enclosure", url=_url(show, item, item.audio), length=str(item.num_bytes), type="audio/mpeg"
    )
    _add(element, "guid", item.guid, isPermaLink="false")
    _add(element, "pubDate", format_datetime(datetime.fromisoformat(item.published)))
    _add(element, f"{{{ITUNES}}}duration", str(round(item.duration)))
    _add(element, f"{{{ITUNES}}}explicit", str(show.explicit).lower())
    _add(element, f"{{{ITUNES}}}episodeType", "full")
    for name, number in (("episode", item.episode), ("season", item.season)):
        if number:
            _add(element, f"{{{ITUNES}}}{name}", str(number))
            _add(element, f"{{{PODCAST}}}{name}", str(number))
    for file, language in item.transcripts:
        kind = _TYPES[PurePosixPath(file).suffix]
        extra = {"rel": "captions"} if kind != "application/json" else {}
        etree.SubElement(
            element,
            f"{{{PODCAST}}}transcript",
            {"url": _url(show, item, file), "type": kind, "language": language} | extra,
        )
    etree.SubElement(
        element,
        f"{{{PODCAST}}}chapters",
        url=_url(show, item, item.chapters_file),
        type="application/json+chapters",
    )
    element.append(podlove(item.chapters))


def read_feed(path: Path) -> Any:
    """Read a feed as XML; nothing is fetched, no entity is expanded.

    Raises
    ------
    ConfigError : it is missing, no XML, or has no channel.
    """
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)
        channel = etree.fromstring(path.read_bytes(), parser).find("channel")
    except (OSError, etree.XMLSyntaxError) as error:
        raise ConfigError(
            f"the feed {path.name} cannot be read: {error}", settings=("earlier_feed",)
        ) from error
    if channel is None:
        raise ConfigError(f"{path.name} is no RSS feed: it has no channel", settings=("earlier_feed",))
    return channel


def item_of(channel: Any, guid: str) -> Any:
    """Return the item of a guid; None where there is none."""
    return next((one for one in channel.findall("item") if one.findtext("guid") == guid), None)


def _others(earlier: Path, show: Show, item: Item) -> list[Any]:
    """Return the items of the feed so far, save the one that is written anew."""
    channel = read_feed(earlier)
    told = channel.findtext(f"{{{PODCAST}}}guid")
    if told and told.strip() != show_guid(show.feed_url):
        raise ConfigError(
            f"{earlier.name} is the feed of another show than that at {show.feed_url}",
            settings=("earlier_feed",),
        )
    others = [one for one in channel.findall("item") if (one.findtext("guid") or "").strip() != item.guid]
    files = [item.audio, item.chapters_file, *(file for file, _ in item.transcripts)]
    ours = {_url(show, item, file) for file in files}
    for one in others:
        taken = ours.intersection(element.get("url") for element in one.iter())
        if taken:
            raise ConfigError(
                f"{min(taken)} is a file of the episode {one.findtext('title')!r} in {earlier.name} already",
                hint="give each episode a title of its own, and a folder by {slug} in media_url; a changed "
                "recording keeps its episode by --guid",
                settings=("media_url",),
            )
    return others


def _published(item: Any) -> datetime:
    try:
        told = parsedate_to_datetime(item.findtext("pubDate") or "")
    except (ValueError, TypeError):
        return datetime.min.replace(tzinfo=timezone.utc)
    return told if told.tzinfo else told.replace(tzinfo=timezone.utc)


def _add(parent: Any, tag: str, text: str, **attributes: str) -> None:
    etree.SubElement(parent, tag, attributes).text = text


def _url(show: Show, item: Item, name: str) -> str:
    return show.media_url.replace("{slug}", PurePosixPath(item.audio).stem) + quote(name)


def _cut(text: str) -> str:
    """Keep what fits Apple's 4000 bytes, whole lines where there are several."""
    kept = text.encode()[:_MAX_DESCRIPTION_BYTES].decode(errors="ignore")
    return kept if kept == text else kept.rpartition("\n")[0] or kept
