"""A page that plays the episode with captions and chapters; it needs no server and no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jinja2

from examples.podcast.chapter_files import clock
from examples.podcast.content import chapter_segments
from examples.podcast.episode import Episode
from examples.podcast.records import Subtitles
from examples.podcast.settings import Show

_TEMPLATE = Path(__file__).with_name("player.html")


def player_page(
    episode: Episode,
    show: Show,
    subtitles: Sequence[Subtitles],
    *,
    audio: str,
    image: str,
    transcripts: Sequence[str],
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    episode, show : what is shown.
    subtitles : one for each language; the first is on.
    audio, image, transcripts : names of files beside the page; ``image`` may be empty.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    page: str = template.render(
        episode=episode,
        show=show,
        audio=audio,
        image=image,
        transcripts=transcripts,
        clock=clock,
        parts=chapter_segments(episode.chapters, episode.segments),
        moods=list(zip(episode.segments, episode.moods, strict=True)),
        subtitles_json=_for_script(subtitles),
    )
    return page


def _for_script(subtitles: Sequence[Subtitles]) -> jinja2.utils.markupsafe.Markup:
    """Write the cues as JSON that cannot end a script element."""
    value = [
        {
            "language": one.language,
            "cues": [(cue.start, cue.end, "\n".join(cue.lines)) for cue in one.cues],
        }
        for one in subtitles
    ]
    text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("&", "\\u0026")
    return jinja2.utils.markupsafe.Markup(text)
