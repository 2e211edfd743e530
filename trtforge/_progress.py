"""Show a person how far a long piece of work has come, and record how long each stage took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from trtforge._tables import hanging
from trtforge.units import format_duration

OnProgress = Callable[[int, int], None]

# A stage that ends before is not worth a line of its own.
_FIRST_SECONDS = 2.0


class Stages:
    """Runs named stages one after another, timing each.

    Parameters
    ----------
    console : where progress is shown; None shows nothing. On a terminal it is a bar; elsewhere, as in a file
        or a pipe, a line when a stage turns out to be long and again from time to time.
    every_s : seconds from one such line to the next.

    Attributes
    ----------
    seconds : stage name to wall-clock time, in seconds, in the order the stages ran.
    """

    def __init__(self, console: Console | None = None, *, every_s: float = 15.0) -> None:
        self.console = console
        self._every_s = every_s
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Time a stage; on success print one line with what `Stage.note` was told."""
        begin = time.perf_counter()
        if self.console is None:
            stage = Stage(None, name)
            yield stage
        elif not self.console.is_terminal:
            stage = Stage(None, name)
            with _telling(self.console, stage, self._every_s):
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
            line = Text.from_markup(f"[green]✓[/] [bold]{name:<10}[/] {escape(stage.said)}  [dim]{took}[/]")
            self.console.print(hanging(line, self.console.width, 13), highlight=False, soft_wrap=True)


class Stage:
    """One running stage; it is itself the ``on_progress(done, total)`` callback of the work inside it."""

    def __init__(self, progress: Progress | None, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None) if progress else None
        self.name = name
        self.steps: tuple[int, int] | None = None
        self.said = ""

    def __call__(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` steps are finished."""
        self.steps = done, total
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        """Say in a few words what came out of the stage."""
        self.said = text


@contextmanager
def _telling(console: Console, stage: Stage, every_s: float) -> Iterator[None]:
    """Print now and then how far a stage is, for as long as the block runs."""
    ended = threading.Event()
    begin = time.perf_counter()

    def tell() -> None:
        wait_s = min(_FIRST_SECONDS, every_s)
        while not ended.wait(wait_s):
            steps = f"{stage.steps[0]} of {stage.steps[1]}, " if stage.steps else ""
            took = format_duration(time.perf_counter() - begin)
            try:
                console.print(f"[dim]… {stage.name:<10} {steps}{took} so far[/]", highlight=False)
            except (OSError, ValueError):
                # The output is gone; whoever prints the outcome of the stage meets this too.
                return
            wait_s = every_s

    teller = threading.Thread(target=tell, name="trtforge-progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()
