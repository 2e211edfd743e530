"""What a user may set."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from examples.podcast.plain_text import require_plain
from trtforge.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """How subtitles may look.

    Parameters
    ----------
    line_chars : longest line of VTT, in characters; ideographs and other wide letters count two.
    narrow_line_chars : longest line of SRT; 32 is what the podcast namespace asks for.
    max_lines : lines of one cue.
    min_seconds, max_seconds : how long a cue stands.
    characters_per_second : reading speed that cues are stretched to keep, where the next leaves room.
    gap_seconds : between one cue and the next.

    References
    ----------
    Podcast namespace, "Transcripts" (podcastindex.org). Netflix Timed Text Style Guide: 42 characters, two
    lines, 7 s, 20 characters a second for adult programmes.
    """

    line_chars: int = 42
    narrow_line_chars: int = 32
    max_lines: int = 2
    min_seconds: float = 1.0
    max_seconds: float = 7.0
    characters_per_second: float = 20.0
    gap_seconds: float = 0.08

    def __post_init__(self) -> None:
        if min(self.line_chars, self.narrow_line_chars) < 16 or self.line_chars > 65:
            raise ConfigError(
                f"lines must have 16 to 65 characters, got {self.narrow_line_chars} and {self.line_chars}"
            )
        if self.max_lines < 1 or not self.gap_seconds >= 0 or not 0 < self.min_seconds < self.max_seconds:
            raise ConfigError(
                "subtitles need at least one line, a gap of 0 s or more, and 0 < min_seconds < max_seconds; "
                f"got {self.max_lines}, {self.gap_seconds}, {self.min_seconds}, {self.max_seconds}"
            )
        if not self.characters_per_second > 0:
            raise ConfigError(f"characters_per_second must be positive, got {self.characters_per_second}")


_CATEGORIES = (
    "Arts",
    "Business",
    "Comedy",
    "Education",
    "Fiction",
    "Government",
    "Health & Fitness",
    "History",
    "Kids & Family",
    "Leisure",
    "Music",
    "News",
    "Religion & Spirituality",
    "Science",
    "Society & Culture",
    "Sports",
    "TV & Film",
    "Technology",
    "True Crime",
)


@dataclass(frozen=True)
class Show:
    """The podcast that the episode belongs to.

    Parameters
    ----------
    title, description, author, language : of the show; the description is cut at 4000 bytes in the feed.
    feed_url : where the feed will be found; the show's guid is made of it.
    site_url : the show's page.
    media_url : folder on the web that the bundle's files will be put into; ends with ``/``. ``{slug}`` in it
        stands for the episode's, so that each has a folder of its own.
    category : one of Apple's categories, such as ``Technology``.
    owner_email : shown in the feed where given; some hosts verify by it.
    explicit : whether the show needs a warning.
    image : cover, a path beside this file: PNG or JPEG, square, 1400 to 3000 pixels.
    people : names and roles: ``{"Ada": "host"}``.
    """

    title: str = "An untitled show"
    description: str = "A podcast."
    author: str = "Unknown"
    language: str = "en"
    feed_url: str = "https://example.org/show/feed.xml"
    site_url: str = "https://example.org/show/"
    media_url: str = "https://example.org/show/media/"
    category: str = "Technology"
    owner_email: str = ""
    explicit: bool = False
    image: str = ""
    people: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("feed_url", "site_url", "media_url"):
            parts = urlsplit(getattr(self, name))
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise ConfigError(f"{name} must be an http or https address, got {getattr(self, name)!r}")
            odd = re.search(r"[^!-~]", getattr(self, name))
            if odd:
                raise ConfigError(
                    f"{name} must be ASCII without spaces, got {odd[0]!r} in {getattr(self, name)!r}",
                    hint="write other characters as %20 is written, and names of hosts with xn--",
                    settings=(name,),
                )
        for name in ("title", "description", "author"):
            if not getattr(self, name).strip():
                raise ConfigError(f"{name} of the show is empty", settings=(name,))
        check_languages([self.language])
        if self.category not in _CATEGORIES:
            raise ConfigError(
                f"category must be one of Apple's, got {self.category!r}",
                hint=f"they are {', '.join(_CATEGORIES)}",
                settings=("category",),
            )
        for name in ("title", "author", "owner_email", "image"):
            require_plain(name, getattr(self, name))
        require_plain("description", self.description, lines=True)
        for name, role in self.people.items():
            require_plain("people", f"{name} {role}")
        if urlsplit(self.media_url).query or not self.media_url.endswith("/"):
            raise ConfigError(f"media_url must end with '/' and have no query, got {self.media_url!r}")

    @classmethod
    def load(cls, path: Path) -> Show:
        """Read a show from JSON; a relative ``image`` is taken from beside the file.

        Raises
        ------
        ConfigError : the file is missing or does not describe a show.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8-sig"))
            show = msgspec.convert(told, cls)
        except FileNotFoundError:
            raise ConfigError(f"no show file at {path}") from None
        except (msgspec.MsgspecError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path.name} does not describe a show: {error}",
                hint="examples/podcast/demo/show.json is one",
            ) from error
        known = [each.name for each in fields(cls)]
        if unknown := sorted(set(told) - set(known)):
            raise ConfigError(
                f"{path.name}: a show has no {', '.join(map(repr, unknown))}",
                hint=f"it has {', '.join(known)}",
            )
        return replace(show, image=str((path.parent / show.image).resolve())) if show.image else show


@dataclass(frozen=True)
class Settings:
    """How the stages work.

    Parameters
    ----------
    title : of the episode; made of its keywords where empty.
    published : time of publication with its zone, such as ``2026-01-31T08:00:00+00:00``; where empty, when
        the recording was last written.
    guid : of the episode in the feed; made of the feed's address and the recording where empty. A recording
        that was changed after it was published keeps the guid that it had.
    earlier_feed : the feed so far, whose other episodes stay in the new one.
    episode, season : numbers in the feed; 0 leaves them out.
    pause_seconds : silence that ends a sentence.
    max_sentence_seconds : a longer one is parted at its longest pause.
    min_chapter_seconds : shortest chapter.
    num_keywords, num_sentences : how many keywords, and sentences of the summary.
    terms : how terms are written, each with the ways it may be recognised, in lower case.
    limits : of subtitles.
    """

    title: str = ""
    published: str = ""
    guid: str = ""
    earlier_feed: Path | None = None
    episode: int = 0
    season: int = 0
    pause_seconds: float = 0.4
    max_sentence_seconds: float = 14.0
    min_chapter_seconds: float = 30.0
    num_keywords: int = 12
    num_sentences: int = 5
    terms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0.1 <= self.pause_seconds <= 5 or not 2 <= self.max_sentence_seconds <= 30:
            raise ConfigError(
                "pause_seconds must lie in 0.1 to 5 and max_sentence_seconds in 2 to 30, got "
                f"{self.pause_seconds} and {self.max_sentence_seconds}"
            )
        if not self.min_chapter_seconds > 0 or min(self.num_keywords, self.num_sentences) < 1:
            raise ConfigError(
                "min_chapter_seconds must be positive, num_keywords and num_sentences 1 or more, got "
                f"{self.min_chapter_seconds}, {self.num_keywords} and {self.num_sentences}"
            )
        if min(self.episode, self.season) < 0:
            raise ConfigError(
                f"episode and season must be 0 or more, got {self.episode} and {self.season}",
                settings=("episode", "season"),
            )
        require_plain("title", self.title)
        require_plain("guid", self.guid)
        if self.guid != self.guid.strip():
            raise ConfigError(f"guid begins or ends with a space: {self.guid!r}", settings=("guid",))
        check_terms(self.terms)
        if self.published:
            try:
                zone = datetime.fromisoformat(self.published).tzinfo
            except ValueError:
                zone = None
            if zone is None:
                raise ConfigError(
                    f"published must be a time with its zone, got {self.published!r}",
                    hint="write it like this: 2026-01-31T08:00:00+00:00",
                    settings=("published",),
                )


def check_terms(terms: Mapping[str, Sequence[str]]) -> None:
    """Refuse terms that cannot be found, or of which it is not clear which was said.

    Raises
    ------
    ConfigError : a term or one of its forms is empty or no line of text, or two terms have a form in common.
    """
    known: dict[str, str] = {}
    for term, ways in terms.items():
        for form in {" ".join(way.lower().split()) for way in (term, *ways)}:
            require_plain("terms", term)
            if not form:
                raise ConfigError(f"a form of the term {term!r} is empty", settings=("terms",))
            if form in known:
                raise ConfigError(
                    f"{form!r} is a form of two terms, {known[form]!r} and {term!r}", settings=("terms",)
                )
            known[form] = term


_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")


def check_languages(languages: Sequence[str]) -> None:
    """Refuse languages that files cannot be named by.

    Parameters
    ----------
    languages : BCP 47 tags of the speech and of each translation.

    Raises
    ------
    ConfigError : one is no such tag, or is there twice.
    """
    for index, language in enumerate(languages):
        if not _LANGUAGE.fullmatch(language):
            raise ConfigError(
                f"a language must be a tag such as en or pt-BR, got {language!r}", settings=("language",)
            )
        if language.lower() in map(str.lower, languages[:index]):
            raise ConfigError(
                f"{language!r} is the language of two transcripts; files are named by it",
                settings=("language",),
            )


def load_terms(path: Path) -> dict[str, tuple[str, ...]]:
    """Read how terms are written: a JSON object of each term to the ways it may be recognised.

    Raises
    ------
    ConfigError : the file is missing or holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes().removeprefix(BOM_UTF8), type=dict[str, tuple[str, ...]])
    except FileNotFoundError:
        raise ConfigError(f"no file of terms at {path}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path.name} holds no terms: {error}", hint='write it like this: {"GPU": ["g p u"]}'
        ) from error
