"""Show notes: Markdown with front matter, and HTML for feeds and sites."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence

from examples.podcast.chapter_files import chapter_lines, clock
from examples.podcast.episode import Episode
from examples.podcast.records import Chapter, Segment
from examples.podcast.settings import Show


def chapter_segments(
    chapters: Sequence[Chapter], segments: Sequence[Segment]
) -> list[tuple[Chapter, list[Segment]]]:
    """Deal the segments out to the chapters in which they begin."""
    found = []
    for chapter in chapters:
        last = chapter is chapters[-1]
        found.append(
            (chapter, [s for s in segments if chapter.start <= s.start and (last or s.start < chapter.end)])
        )
    return found


def description(episode: Episode) -> str:
    """Return the plain text that players show: what it is about, then the chapters, one a line."""
    listed = chapter_lines(episode.chapters)
    return "\n\n".join(part for part in (episode.summary.description, listed) if part)


def markdown(episode: Episode, show: Show) -> str:
    """Return a page of Markdown with YAML front matter, for site generators.

    The values of the front matter are JSON, which is YAML too.
    """
    summary = episode.summary
    front = {
        "title": summary.title,
        "slug": summary.slug,
        "date": episode.published,
        "description": summary.description,
        "tags": list(summary.tags),
        "show": show.title,
        "language": episode.language,
        "duration": round(episode.source.duration),
    }
    lines = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items())]
    lines += ["---", "", f"# {_escaped(summary.title)}", ""]
    lines += ["## In short", "", *(f"- {_escaped(sentence)}" for sentence in summary.sentences), ""]
    lines += ["## Chapters", ""]
    lines += [f"- `{clock(chapter.start)}` {_escaped(chapter.title)}" for chapter in episode.chapters]
    lines += ["", "## Transcript", ""]
    for chapter, segments in chapter_segments(episode.chapters, episode.segments):
        lines += [f"### {_escaped(chapter.title)}", ""]
        lines += [f"{_escaped(paragraph)}\n" for paragraph in paragraphs(segments)]
    return "\n".join(lines).rstrip("\n") + "\n"


def notes_html(episode: Episode) -> str:
    """Return show notes as HTML: in short, chapters, keywords."""
    summary = episode.summary
    sentences = "".join(f"<li>{html.escape(text)}</li>" for text in summary.sentences)
    chapters = "".join(
        f"<li>{clock(chapter.start)} {html.escape(chapter.title)}</li>" for chapter in episode.chapters
    )
    tags = ", ".join(html.escape(tag) for tag in summary.tags)
    return (
        f"<p>{html.escape(summary.description)}</p>\n<h2>In short</h2>\n<ul>{sentences}</ul>\n"
        f"<h2>Chapters</h2>\n<ul>{chapters}</ul>\n<p>Keywords: {tags}</p>"
    )


def paragraphs(segments: Sequence[Segment], *, pause_seconds: float = 1.0, sentences: int = 6) -> list[str]:
    """Join segments into paragraphs; a long pause, or enough sentences, ends one."""
    found: list[list[str]] = []
    end = -pause_seconds
    for segment in segments:
        if segment.start - end >= pause_seconds or not found or len(found[-1]) >= sentences:
            found.append([])
        found[-1].append(segment.text)
        end = segment.end
    return [" ".join(texts) for texts in found]


def _escaped(text: str) -> str:
    """Write a text so that Markdown shows it as it is: no emphasis, links, lists, headings or entities."""
    marked = re.sub(r"([\\`*_\[\]<>#&~|!$])", r"\\\1", text)
    marked = re.sub(r"^([-+=])", r"\\\1", marked)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", marked)
