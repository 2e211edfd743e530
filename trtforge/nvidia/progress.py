"""Hear from the vendor's builder how far it is, and tell it to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

# Called with the steps that are done and their number.
OnProgress: TypeAlias = Callable[[int, int], None]

# Progress is told in hundredths: phases differ in the number of their steps.
_STEPS = 100


@dataclass
class _Phase:
    parent: str | None
    num_steps: int
    done: int = 0


class BuildProgress:
    """How far a build is, gathered from the library's nested phases; safe to be told by several threads.

    The library calls it from C++, where an exception cannot pass. What ``on_progress`` raises is kept, the
    library is told to stop, and `check` raises it once the build has returned.

    Parameters
    ----------
    on_progress : called with hundredths done and 100, never with less than before; None tells nobody.
    """

    def __init__(self, on_progress: OnProgress | None = None) -> None:
        self._on_progress = on_progress
        self._phases: dict[str, _Phase] = {}
        self._told = -1
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Tell the library to stop at the end of its current step."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the library was told to stop."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise what a callback raised; nothing that was built must be used then."""
        if self._error is not None:
            raise self._error

    def estimate(self, expected_seconds: float | None, seconds: float) -> None:
        """Tell how far a build should be that the library says nothing of, and raise what the callback does.

        Parameters
        ----------
        expected_seconds : how long the build may take; None tells nothing.
        seconds : how long it has taken.
        """
        if expected_seconds is not None:
            with self._lock:
                self._tell_hundredths(min(_STEPS - 1, int(_STEPS * seconds / expected_seconds)))
            self.check()

    def end(self) -> None:
        """Tell that all is done, if anything was told."""
        with self._lock:
            if self._told >= 0:
                self._tell_hundredths(_STEPS)

    def start(self, name: str, parent: str | None, num_steps: int) -> None:
        """Hear that a phase begins, within the current step of its parent."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, num_steps))

    def step(self, name: str, step: int) -> bool:
        """Hear that a step, counted from 0, is done; return whether to go on."""
        with self._lock:
            if name in self._phases:
                phase = self._phases[name]
                phase.done = min(phase.num_steps, max(phase.done, step + 1))
            self._tell()
        return not self._cancelled.is_set()

    def finish(self, name: str) -> None:
        """Hear that a phase ends, be all its steps done or not."""
        with self._lock:
            self._phases.pop(name, None)

    def _tell(self) -> None:
        first = next((name for name, phase in self._phases.items() if phase.parent not in self._phases), None)
        if first is not None:
            self._tell_hundredths(int(_STEPS * self._fraction(first)))

    def _tell_hundredths(self, hundredths: int) -> None:
        if self._on_progress is None or self._error is not None or hundredths <= self._told:
            return
        self._told = hundredths
        try:
            self._on_progress(hundredths, _STEPS)
        except BaseException as error:
            self._error = error
            self._cancelled.set()

    def _fraction(self, name: str) -> float:
        phase = self._phases[name]
        within = sum(self._fraction(child) for child, other in self._phases.items() if other.parent == name)
        return min(1.0, (phase.done + min(within, 1.0)) / phase.num_steps)


def make_monitor(trt: Any, progress: BuildProgress) -> Any:
    """Return an ``IProgressMonitor`` of module ``trt`` that tells ``progress``; it never raises.

    References
    ----------
    NVIDIA, TensorRT API, ``IProgressMonitor``.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase or None, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
