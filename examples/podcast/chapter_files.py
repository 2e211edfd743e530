"""Chapters as players and hosts read them: JSON, Podlove, ID3 and plain text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lxml import etree

from examples.podcast.records import Chapter

PODLOVE = "http://podlove.org/simple-chapters"
_MIN_LISTED = 3
# Of an ID3 tag, and of each of its frames.
_HEADER = 10


def chapters_json(chapters: Sequence[Chapter], *, title: str) -> dict[str, Any]:
    """Return the document that ``podcast:chapters`` points to.

    References
    ----------
    Podcast namespace, "JSON Chapters Format", version 1.2.0.
    """
    return {
        "version": "1.2.0",
        "title": title,
        "chapters": [
            {"startTime": chapter.start, "endTime": chapter.end, "title": chapter.title}
            for chapter in chapters
        ],
    }


def podlove(chapters: Sequence[Chapter]) -> Any:
    """Return the ``psc:chapters`` element that a feed's item holds.

    References
    ----------
    Podlove Simple Chapters, version 1.2.
    """
    root = etree.Element(f"{{{PODLOVE}}}chapters", nsmap={"psc": PODLOVE}, version="1.2")
    for chapter in chapters:
        etree.SubElement(
            root, f"{{{PODLOVE}}}chapter", start=clock(chapter.start, decimals=True), title=chapter.title
        )
    return root


def chapter_lines(chapters: Sequence[Chapter]) -> str:
    """Return a line for each chapter, as players find them in a description; empty below three chapters."""
    if len(chapters) < _MIN_LISTED:
        return ""
    return "\n".join(f"{clock(chapter.start)} {chapter.title}" for chapter in chapters)


def write_id3(audio: Path, chapters: Sequence[Chapter], *, title: str, author: str, show: str) -> None:
    """Write title, names and chapters into an MP3 file's ID3 tag, and keep what else stands there.

    Raises
    ------
    OSError : the tag cannot be written, or the one that is there not be read.

    References
    ----------
    ID3v2.3.0 informal standard; ID3v2 Chapter Frame Addendum, version 1.0.
    """
    from mutagen import MutagenError
    from mutagen.id3 import CHAP, CTOC, ID3, TALB, TIT2, TPE1, CTOCFlags, ID3NoHeaderError

    try:
        tags = ID3(audio)
    except ID3NoHeaderError:
        tags = ID3()
    except MutagenError as error:
        raise OSError(f"the ID3 tag of {audio.name}: {error}") from error
    for key in ("CHAP", "CTOC"):
        tags.delall(key)
    for frame in (TIT2(encoding=3, text=title), TPE1(encoding=3, text=author), TALB(encoding=3, text=show)):
        tags.setall(frame.FrameID, [frame])
    names = [f"chapter{number}" for number in range(len(chapters))]
    for name, chapter in zip(names, chapters, strict=True):
        tags.add(
            CHAP(
                element_id=name,
                start_time=round(chapter.start * 1000),
                end_time=round(chapter.end * 1000),
                start_offset=0xFFFFFFFF,
                end_offset=0xFFFFFFFF,
                sub_frames=[TIT2(encoding=3, text=chapter.title)],
            )
        )
    tags.add(
        CTOC(
            element_id="contents",
            flags=CTOCFlags.TOP_LEVEL | CTOCFlags.ORDERED,
            child_element_ids=names,
            sub_frames=[TIT2(encoding=3, text="Chapters")],
        )
    )
    try:
        tags.save(audio, v2_version=3)
    except MutagenError as error:
        raise OSError(f"the ID3 tag of {audio.name}: {error}") from error
    _sort_chapters(audio)


def _sort_chapters(audio: Path) -> None:
    """Put a tag's chapters in order of time, in which players show them; mutagen sorts frames by size."""
    with audio.open("r+b") as file:
        header = file.read(_HEADER)
        size = int("".join(f"{byte:07b}" for byte in header[6:]), 2)
        tag = file.read(size)
        frames, at = [], 0
        while tag[at : at + 4].strip(b"\0"):
            end = at + _HEADER + int.from_bytes(tag[at + 4 : at + 8], "big")
            frames.append(tag[at:end])
            at = end
        chapters = iter(sorted(filter(_is_chapter, frames), key=_chapter_start))
        file.seek(_HEADER)
        file.write(b"".join(next(chapters) if _is_chapter(frame) else frame for frame in frames))


def _is_chapter(frame: bytes) -> bool:
    return frame.startswith(b"CHAP")


def _chapter_start(frame: bytes) -> int:
    start = frame.index(b"\0", _HEADER) + 1
    return int.from_bytes(frame[start : start + 4], "big")


def clock(seconds: float, *, decimals: bool = False) -> str:
    """Write a time as ``MM:SS``, ``H:MM:SS`` from an hour on, or ``HH:MM:SS.mmm``."""
    if decimals:
        milliseconds = round(seconds * 1000)
        whole, rest = divmod(milliseconds, 1000)
        return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{rest:03d}"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
