"""Check a bundle offline, with the parsers that others read it with.

python -m examples.podcast.validate FOLDER
"""

from __future__ import annotations

import argparse
import html
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.podcast.bundle import MANIFEST, read_manifest
from examples.podcast.chapter_files import PODLOVE
from examples.podcast.columns import columns
from examples.podcast.complaints import status_of
from examples.podcast.episode import SCHEMA as EPISODE_SCHEMA
from examples.podcast.feed import ITUNES, PODCAST, item_of, read_feed, show_guid
from examples.podcast.settings import Limits
from trtforge._files import file_sha256

SCHEMAS = EPISODE_SCHEMA.parent
_TIME_SLACK = 0.0015


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    file : its name.
    what : what must hold.
    problem : what does not; empty where all is well.
    """

    file: str
    what: str
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return not self.problem


def validate_bundle(folder: Path, limits: Limits | None = None) -> tuple[Check, ...]:
    """Check every file of a bundle; nothing is fetched.

    Parameters
    ----------
    folder : what `write_bundle` wrote.
    limits : of subtitles; the defaults where None.

    Returns
    -------
    All checks, passed and failed, by file.

    Raises
    ------
    ConfigError : the folder holds no bundle.
    """
    limits = limits or Limits()
    manifest = read_manifest(folder)
    audio = manifest["audio"]["file"]
    seconds = manifest["audio"]["seconds"]
    checks = [_check(MANIFEST, "sizes and digests are those of the files", _digests, folder, manifest)]
    plans: list[tuple[str, str, Callable[..., str], tuple[Any, ...]]] = [
        ("episode.json", "fits its published schema", _fits_schema, ("episode.schema.json",)),
        ("chapters.json", "fits the schema of JSON chapters 1.2.0", _fits_schema, ("chapters.schema.json",)),
        ("chapters.json", "chapters follow one another to the end", _chapters_follow, (seconds,)),
        ("feed.xml", "feedparser reads it without complaint", _feed_parses, ()),
        ("feed.xml", "has what Apple asks for", _feed_complete, ()),
        ("feed.xml", "its enclosure is the file, to the byte", _enclosure, (audio,)),
        ("feed.xml", "every file that it names is there", _feed_files, ()),
        ("feed.xml", "guids, Podlove chapters and transcripts", _podcasting, ()),
        (audio, "ID3 chapters are those of chapters.json", _id3, ()),
        (audio, "it decodes, and is as long as stated", _decodes, (seconds,)),
        ("index.html", "is well formed and names files that are there", _page, ()),
        ("notes.md", "its front matter is YAML", _front_matter, ()),
    ]
    for path in sorted(folder.glob("transcript.*")):
        if path.suffix == ".json":
            plans.append((path.name, "fits the transcript schema", _fits_schema, ("transcript.schema.json",)))
        else:
            width = limits.line_chars if path.suffix == ".vtt" else limits.narrow_line_chars
            plans.append((path.name, "cues keep their limits", _cues_keep, (limits, width, seconds)))
    checks += [_check(name, what, test, folder / name, *more) for name, what, test, more in plans]
    return tuple(checks)


def _check(name: str, what: str, test: Callable[..., str], *arguments: Any) -> Check:
    """Run one test; whatever a parser throws at a broken file is the problem."""
    try:
        return Check(name, what, test(*arguments))
    except Exception as error:
        return Check(name, what, f"{type(error).__name__}: {error}"[:300])


def _digests(folder: Path, manifest: Any) -> str:
    for name, facts in manifest["files"].items():
        path = folder / name
        if path.stat().st_size != facts["bytes"] or file_sha256(path) != facts["sha256"]:
            return f"{name} is not what the manifest says"
    return ""


def _fits_schema(path: Path, schema: str) -> str:
    import jsonschema

    validator = jsonschema.Draft202012Validator(json.loads((SCHEMAS / schema).read_text(encoding="utf-8")))
    errors = list(validator.iter_errors(json.loads(path.read_text(encoding="utf-8"))))
    return f"{errors[0].json_path}: {errors[0].message[:200]}" if errors else ""


def _chapters_follow(path: Path, seconds: float) -> str:
    chapters = json.loads(path.read_text(encoding="utf-8"))["chapters"]
    if chapters[0]["startTime"] != 0:
        return "the first chapter does not begin at 0"
    for before, after in itertools.pairwise(chapters):
        if before["endTime"] != after["startTime"] or after["startTime"] <= before["startTime"]:
            return f"chapter {after['title']!r} does not follow {before['title']!r}"
    return "" if abs(chapters[-1]["endTime"] - seconds) < 0.01 else "the last chapter ends too early or late"


def _guid(feed: Path) -> str:
    return str(read_manifest(feed.parent)["guid"])


def _feed_parses(path: Path) -> str:
    import feedparser

    parsed = feedparser.parse(path.read_bytes())
    if parsed.bozo:
        return f"feedparser: {parsed.bozo_exception}"
    entries = [entry for entry in parsed.entries if entry.get("id") == _guid(path)]
    if parsed.version != "rss20" or len(entries) != 1:
        return f"feedparser finds {parsed.version} with the episode {len(entries)} times"
    (entry,) = entries
    wanted = (entry.title, entry.id, entry.published_parsed, entry.enclosures[0].href, entry.itunes_duration)
    return "" if all(wanted) else "an entry lacks title, guid, date, enclosure or duration"


def _feed_complete(path: Path) -> str:
    channel = read_feed(path)
    needed = ["title", "description", "link", "language"]
    needed += [f"{{{ITUNES}}}{name}" for name in ("author", "explicit", "category", "image")]
    missing = [name.rpartition("}")[2] for name in needed if channel.find(name) is None]
    item = item_of(channel, _guid(path))
    missing += [name for name in ("title", "enclosure", "guid", "pubDate") if item.find(name) is None]
    if missing:
        return f"lacks {', '.join(missing)}; --show FILE tells what a show has"
    too_long = [e for e in (channel, item) if len(e.findtext("description").encode()) > 4000]
    return "a description is longer than 4000 bytes" if too_long else ""


def _enclosure(path: Path, audio: str) -> str:
    enclosure = item_of(read_feed(path), _guid(path)).find("enclosure")
    size = (path.parent / audio).stat().st_size
    if enclosure.get("type") != "audio/mpeg" or not enclosure.get("url").endswith(f"/{audio}"):
        return f"the enclosure is {enclosure.get('url')}, {enclosure.get('type')}"
    length = enclosure.get("length")
    return "" if length == str(size) else f"length is {length}, the file has {size} bytes"


def _feed_files(path: Path) -> str:
    from urllib.parse import unquote, urlsplit

    channel = read_feed(path)
    item = item_of(channel, _guid(path))
    tags = [f"{{{PODCAST}}}transcript", f"{{{PODCAST}}}chapters", "enclosure"]
    addresses = [element.get("url") for tag in tags for element in item.iter(tag)]
    addresses += [element.get("href") for element in channel.findall(f"{{{ITUNES}}}image")]
    names = [unquote(urlsplit(address).path).rpartition("/")[2] for address in addresses]
    missing = [name for name in names if not (path.parent / name).is_file()]
    return f"{', '.join(missing)} not in the folder" if missing else ""


def _podcasting(path: Path) -> str:
    channel = read_feed(path)
    item = item_of(channel, _guid(path))
    link = channel.find("{http://www.w3.org/2005/Atom}link").get("href")
    if channel.findtext(f"{{{PODCAST}}}guid") != show_guid(link):
        return "podcast:guid is not that of the feed's address"
    if item.find("guid").get("isPermaLink") != "false":
        return "the item's guid claims to be an address"
    kinds = [element.get("type") for element in item.iter(f"{{{PODCAST}}}transcript")]
    if kinds[:3] != ["text/vtt", "application/x-subrip", "application/json"]:
        return f"transcripts are {kinds}, VTT must be first"
    listed = [chapter.get("title") for chapter in item.iter(f"{{{PODLOVE}}}chapter")]
    written = json.loads((path.parent / "chapters.json").read_text(encoding="utf-8"))["chapters"]
    return "" if listed == [chapter["title"] for chapter in written] else "Podlove has other chapters"


def _id3(path: Path) -> str:
    from mutagen.id3 import ID3

    found = sorted(ID3(path).getall("CHAP"), key=lambda frame: int(frame.start_time))
    chapters = json.loads((path.parent / "chapters.json").read_text(encoding="utf-8"))["chapters"]
    tagged = [(int(frame.start_time), str(frame.sub_frames["TIT2"])) for frame in found]
    wanted = [(round(chapter["startTime"] * 1000), chapter["title"]) for chapter in chapters]
    return "" if tagged == wanted else f"the tag has {len(tagged)} chapters, {len(wanted)} are wanted"


def _decodes(path: Path, seconds: float) -> str:
    from mutagen.mp3 import MP3

    from trtforge.audio import probe_audio

    length, stated = probe_audio(path).duration, MP3(path).info.length
    # An encoder pads by up to two frames at either end.
    if abs(length - seconds) > 0.2 or abs(stated - seconds) > 0.2:
        return f"lasts {length:.2f} s and {stated:.2f} s by its header, {seconds:.2f} s are stated"
    return ""


def _page(path: Path) -> str:
    from lxml import html

    root = html.fromstring(path.read_bytes())
    names = [*root.xpath("//video/@src"), *root.xpath("//video/@poster"), *root.xpath("//a/@href")]
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        return f"{', '.join(missing)} not in the folder"
    (data,) = root.xpath("//script[@id='subtitles']/text()")
    return "" if all(subtitles["cues"] for subtitles in json.loads(data)) else "a language has no cues"


def _front_matter(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    end = lines.index("---", 1)
    front = {key: json.loads(value) for key, _, value in (line.partition(": ") for line in lines[1:end])}
    missing = {"title", "slug", "date", "description", "tags"} - set(front)
    return f"lacks {', '.join(sorted(missing))}" if missing else ""


def _cues_keep(path: Path, limits: Limits, width: int, seconds: float) -> str:
    previous = 0.0
    count = 0
    for start, end, text in _read_cues(path):
        lines = text.split("\n")
        count += 1
        if start < previous - _TIME_SLACK or end <= start or end > seconds + limits.max_seconds:
            return f"cue {count} ({start:.3f} to {end:.3f} s) overlaps the one before or has no length"
        if end - start > limits.max_seconds + _TIME_SLACK:
            return f"cue {count} stands for {end - start:.2f} s"
        if len(lines) > limits.max_lines or max(map(columns, lines)) > width:
            return f"cue {count} has {len(lines)} lines of up to {max(map(columns, lines))} columns"
        previous = end
    return "" if count else "there are no cues"


def _read_cues(path: Path) -> Iterator[tuple[float, float, str]]:
    import srt
    import webvtt

    if path.suffix == ".srt":
        for item in srt.parse(path.read_text(encoding="utf-8"), ignore_errors=False):
            yield item.start.total_seconds(), item.end.total_seconds(), item.content
        return
    for caption in webvtt.read(str(path)):
        # The parser's own seconds are whole ones.
        yield _seconds(caption.start), _seconds(caption.end), html.unescape(caption.text)


def _seconds(stamp: str) -> float:
    hours, minutes, seconds = stamp.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every check of a bundle; 1 where one failed, 2 where there is no bundle."""
    parser = argparse.ArgumentParser(description="Check a podcast's bundle offline.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args(arguments).folder

    def command() -> int:
        checks = validate_bundle(folder)
        for check in checks:
            print(f"{'ok  ' if check.passed else 'FAIL'} {check.file}: {check.what} {check.problem}".rstrip())
        return int(not all(check.passed for check in checks))

    return status_of(command)


if __name__ == "__main__":
    sys.exit(main())
