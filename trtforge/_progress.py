"""Show a person how far a long piece of work has come, and record how long each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trtforge.units import format_duration

OnProgress = Callable[[int, int], None]


class Stages:
    """Runs named stages one after another, timing each.

    Parameters
    ----------
    console : where progress is shown; None shows nothing.

    Attributes
    ----------
    seconds : stage name to wall-clock time, in seconds, in the order the stages ran.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time a stage; on success print one line with what `Stage.note` was told."""
        begin = time.perf_counter()
        if self.console is None or not self.console.is_terminal:
            stage = Stage(None, name)
            yield stage
        else:
            with Progress(
                TextColumn("[bold]{task.description:<10}"),
                BarColumn(bar_width=32),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            ) as progress:
                stage = Stage(progress, name)
                yield stage
        self.seconds[name] = time.perf_counter() - begin
        if self.console is not None:
            took = format_duration(self.seconds[name])
            self.console.print(
                f"[green]✓[/] [bold]{name:<10}[/] {escape(stage.said)}  [dim]{took}[/]", highlight=False
            )


class Stage:
    """One running stage; it is itself the ``on_progress(done, total)`` callback of the work inside it."""

    def __init__(self, progress: Progress | None, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None) if progress else None
        self.said = ""

    def __call__(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps are finished."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        """Say in a few words what came out of the stage."""
        self.said = text
