"""How a benchmark is run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from trtforge.errors import ConfigError

Profiles = Literal["each", "wide"]


@dataclass(frozen=True)
class Case:
    """One shape that every contender is timed at.

    Parameters
    ----------
    batch : rows.
    frames : length of the time axis; None where the network's input has no dynamic axis but the batch.

    Raises
    ------
    ConfigError : a size is below 1.
    """

    batch: int
    frames: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "frames"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ConfigError(f"{name} must be 1 or more, got {size}", settings=(name,))


@dataclass(frozen=True)
class BenchConfig:
    """How often and how long contenders are timed.

    Parameters
    ----------
    rounds : turns of each contender at each shape; who goes first changes from round to round.
    latency_s : time for calls one after another in a round, each waited for, in seconds.
    burst_s : time for calls that are queued without waiting, in seconds.
    max_calls : most single calls in a round.
    settle_s : most time to warm up at a shape, in seconds; it ends before where three windows of calls in a
        row have medians within ``settle_tolerance``.
    settle_tolerance : as a fraction.
    frame_s : duration of one frame, in seconds, for the real-time factor; None for what the network's
        features say, or 0.01 where it names none.
    profiles : ``each`` builds engines with one optimization profile for each shape, ``wide`` with one for all
        of them, which builds faster.
    optimization_level : of TensorRT's builder; None leaves the library's default.
    num_threads : threads of contenders on the CPU; None for all usable cores.
    accuracy_rows : rows of input that outputs are compared on.
    timeout_s : most time that one step of a contender may take, in seconds.

    Raises
    ------
    ConfigError : a value is out of range.
    """

    rounds: int = 5
    latency_s: float = 0.5
    burst_s: float = 1.0
    max_calls: int = 300
    settle_s: float = 10.0
    settle_tolerance: float = 0.02
    frame_s: float | None = None
    profiles: Profiles = "each"
    optimization_level: int | None = None
    num_threads: int | None = None
    accuracy_rows: int = 4
    timeout_s: float = 1800.0

    def __post_init__(self) -> None:
        for name in ("rounds", "max_calls", "accuracy_rows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}", settings=(name,))
        for name in ("latency_s", "burst_s", "settle_s", "settle_tolerance", "frame_s", "timeout_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} must be above 0, got {value}", settings=(name,))
        if self.num_threads is not None and self.num_threads < 1:
            raise ConfigError(f"num_threads must be 1 or more, got {self.num_threads}")
        if self.profiles not in ("each", "wide"):
            raise ConfigError(f"profiles must be 'each' or 'wide', got {self.profiles!r}")
