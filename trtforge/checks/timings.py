"""Times of reference and candidate, measured in turns."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trtforge._files import read_json, write_json
from trtforge._turns import timing_turn
from trtforge.errors import ConfigError, InputError, ReportError

FORMAT = "trtforge.timings/1"


@dataclass(frozen=True)
class Timings:
    """Times of two runners that took turns on the same inputs, so that what slows both cancels out.

    One of them holds the rounds of a run, or, as checks want it, runs that each stand for many rounds.

    Parameters
    ----------
    reference_ms : time of each round or run of the reference, in milliseconds.
    candidate_ms : time of the candidate in the same rounds or runs, in milliseconds.

    Raises
    ------
    InputError : the two differ in length, there is none, or a time is not positive.
    """

    reference_ms: tuple[float, ...]
    candidate_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        times = (*self.reference_ms, *self.candidate_ms)
        if len(self.reference_ms) != len(self.candidate_ms) or not times:
            raise InputError(
                "timings need one time of each runner for every round or run, got "
                f"{len(self.reference_ms)} of the reference and {len(self.candidate_ms)} of the candidate"
            )
        if not all(math.isfinite(value) and value > 0 for value in times):
            raise InputError("a time is not a positive number of milliseconds")

    @property
    def ratios(self) -> tuple[float, ...]:
        """Candidate's time by the reference's, for each round or run."""
        return tuple(
            candidate / reference
            for reference, candidate in zip(self.reference_ms, self.candidate_ms, strict=True)
        )

    @classmethod
    def of_runs(cls, runs: Sequence[Timings]) -> Timings:
        """Let each run stand as one time of either runner, the median of its rounds.

        Rounds of one run follow each other and share their process: its memory, its threads, the clock that
        the processor happened to have. They are alike for reasons that the next run does not share, and no
        number of them tells how far runs differ.

        Parameters
        ----------
        runs : the rounds of each run; one or more.

        Raises
        ------
        InputError : there is none.
        """
        return cls(
            tuple(statistics.median(run.reference_ms) for run in runs),
            tuple(statistics.median(run.candidate_ms) for run in runs),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the times as JSON."""
        write_json(
            path,
            {
                "format": FORMAT,
                "reference_ms": list(self.reference_ms),
                "candidate_ms": list(self.candidate_ms),
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Timings:
        """Read times that `save` wrote.

        Raises
        ------
        ReportError : the file is missing or holds no such times.
        """
        value = read_json(path, what="timings file", error=ReportError)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ReportError(f'{os.fspath(path)} holds no timings: it lacks "format": "{FORMAT}"')
        try:
            return cls(_times(value["reference_ms"]), _times(value["candidate_ms"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ReportError(f"{os.fspath(path)} holds damaged timings: {error!r}") from error


def time_side_by_side(
    reference: Callable[[], Any],
    candidate: Callable[[], Any],
    *,
    num_rounds: int = 30,
    num_warmup: int = 3,
) -> Timings:
    """Time two calls in turns; which goes first changes from round to round.

    Parameters
    ----------
    reference : does the reference's work once, and returns only when it is done.
    candidate : does the candidate's work on the same inputs.
    num_rounds : rounds that are kept.
    num_warmup : rounds before them that are not.

    Raises
    ------
    ConfigError : fewer than one round, or a negative warm-up.
    """
    if num_rounds < 1 or num_warmup < 0:
        raise ConfigError(
            f"num_rounds must be 1 or more and num_warmup 0 or more, got {num_rounds} and {num_warmup}"
        )
    calls, times = (reference, candidate), ([0.0] * num_rounds, [0.0] * num_rounds)
    with timing_turn():
        for turn in range(-num_warmup, num_rounds):
            for which in (0, 1) if turn % 2 else (1, 0):
                begin = time.perf_counter_ns()
                calls[which]()
                elapsed_ms = (time.perf_counter_ns() - begin) / 1e6
                if turn >= 0:
                    times[which][turn] = elapsed_ms
    return Timings(tuple(times[0]), tuple(times[1]))


def _times(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise TypeError(f"times must be a list, got {type(values).__name__}")
    return tuple(float(value) for value in values)
