"""All that is known of an episode, as one JSON document with a published schema."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from examples.podcast.records import Chapter, Keyword, Mood, Segment, Source, Summary, Translation

SCHEMA = Path(__file__).parent / "schemas/episode.schema.json"
FORMAT = "trtforge.podcast.episode/1"


@dataclass(frozen=True)
class Episode:
    """What the stages found.

    Parameters
    ----------
    format : name and version of this document.
    language : BCP 47 tag of the speech.
    published : RFC 3339 time.
    source : the recording.
    recognizer : what recognised it.
    summary, keywords, chapters : what it is about.
    segments : its sentences.
    moods : one for each segment.
    translations : one for each further language.
    """

    format: str
    language: str
    published: str
    source: Source
    recognizer: str
    summary: Summary
    keywords: tuple[Keyword, ...]
    chapters: tuple[Chapter, ...]
    segments: tuple[Segment, ...]
    moods: tuple[Mood, ...]
    translations: tuple[Translation, ...]

    def to_json(self) -> bytes:
        """Return the document, indented, in UTF-8."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def schema() -> dict[str, Any]:
    """Return the JSON schema of the document (draft 2020-12)."""
    made = msgspec.json.schema(Episode)
    for described in made["$defs"].values():
        # Before 3.13 Python left the indentation in.
        described["description"] = cleandoc(described["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FORMAT} | made
