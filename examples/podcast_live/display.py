"""What is heard, on a terminal: a screen that changes, or lines where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from examples.podcast.chapter_files import clock
from examples.podcast_live.listening import Heard, Latency
from trtforge.units import format_duration

_LINES = 8
_HEADS = {"text": "words of a piece of speech", "points": "key points"}


class Display:
    """Shows a recording as it is heard; pass it as ``on_change``.

    Parameters
    ----------
    console : the terminal; where it is none, sentences and key points are printed as they come.
    title : what is listened to, and with what.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._num_shown = 0
        self._shown: tuple[str, ...] = ()
        self._doubt = ""

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, heard: Heard) -> None:
        """Show what is known now."""
        if self._live is not None:
            self._live.update(screen(heard, self._title))
            return
        for one in heard.segments[self._num_shown :]:
            self._console.print(f"{clock(one.start)}  {one.text}", markup=False, soft_wrap=True)
        self._num_shown = len(heard.segments)
        if heard.points.texts != self._shown:
            self._shown = heard.points.texts
            last = [one for one in heard.latencies if one.kind == "points"][-1]
            took = format_duration(last.seconds)
            self._console.print(
                f"key points after {clock(last.at)}, made in {took}: {heard.points.note}", markup=False
            )
            for text in self._shown:
                self._console.print(f"  - {text}", markup=False, soft_wrap=True)
        if heard.doubt and not self._doubt:
            self._doubt = heard.doubt
            self._console.print(heard.doubt, markup=False, soft_wrap=True)


def screen(heard: Heard, title: str) -> RenderableType:
    """Return the screen: what was said last, key points, and how long updates took."""
    state = "[green]● speech[/]" if heard.is_speech else "[dim]○ no speech[/]"
    head = Text.from_markup(f"{escape(title)}  {clock(heard.seconds)}  {state}")
    said = Table.grid(padding=(0, 1))
    said.add_column(style="dim", no_wrap=True)
    said.add_column()
    for one in heard.segments[-_LINES:]:
        said.add_row(clock(one.start), Text(one.text))
    points = Group(*(Text(f"• {text}") for text in heard.points.texts))
    notes: list[RenderableType] = [head, Panel(said, title="transcript", title_align="left")]
    caption = f"key points ({heard.points.note})" if heard.points.note else "key points"
    notes.append(Panel(points, title=caption, title_align="left"))
    notes.append(latency_table(heard.latencies))
    notes += [Text(line, style="yellow") for line in warnings(heard)]
    return Group(*notes)


def warnings(heard: Heard) -> list[str]:
    """Return what the listener should know beside the results."""
    found = [heard.doubt] if heard.doubt else []
    if heard.points.num_unsaid:
        found.append(f"{heard.points.num_unsaid} key points left out: their words were not said")
    if heard.num_lost:
        found.append(f"{heard.num_lost / 16_000:.1f} s of audio were lost: this machine is too slow for them")
    return found


def latency_table(latencies: Sequence[Latency]) -> Table:
    """Return how long updates took: the last, the median, and the slowest of twenty."""
    table = Table(box=None, pad_edge=False)
    for name in ("update", "times", "last", "p50", "p95", "p50 after the last word"):
        table.add_column(name, justify="left" if name == "update" else "right")
    for kind, head in _HEADS.items():
        ours = [one for one in latencies if one.kind == kind]
        if not ours:
            continue
        seconds = [one.seconds for one in ours]
        waits = [one.after_speech for one in ours if one.after_speech is not None]
        p50, p95 = np.percentile(seconds, [50, 95])
        table.add_row(
            head,
            str(len(ours)),
            *(format_duration(float(value)) for value in (seconds[-1], p50, p95)),
            format_duration(float(np.median(waits))) if waits else "",
        )
    return table
