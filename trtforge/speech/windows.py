"""Plan windows over a long input so that their outputs, put together, are those of the whole."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass

from trtforge.errors import ConfigError


@dataclass(frozen=True)
class Window:
    """One window.

    Parameters
    ----------
    start, stop : input frames that it takes, ``stop`` not among them.
    first : output frame of the whole from which on its output is kept, counted over the whole.
    last : output frame before which its output is kept; None for all that it gives.
    """

    start: int
    stop: int
    first: int
    last: int | None


@dataclass(frozen=True)
class WindowPlan:
    """Windows of one length over a long input, each overlapping the next.

    A window's outputs near its cut ends are left to its neighbours, which see what lies beyond. Cuts lie at
    multiples of the network's stride, so that output frames fall on the same input frames as uncut. The last
    window is moved back to be as long as the others, up to ``stride - 1`` frames.

    Parameters
    ----------
    window_frames : longest window, in input frames.
    left, right : input frames before and after that an output frame depends on.
    stride : input frames from one output frame to the next.

    Raises
    ------
    ConfigError : a value is no whole number or out of range, or the window is no longer than its margins.
    """

    window_frames: int
    left: int
    right: int
    stride: int = 1

    def __post_init__(self) -> None:
        for name in ("window_frames", "left", "right", "stride"):
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, operator.index(value))
            except TypeError:
                raise ConfigError(
                    f"{name} must be a whole number of frames, got {value!r}", settings=(name,)
                ) from None
        if not 1 <= self.stride <= self.window_frames:
            raise ConfigError(
                f"stride must be 1 or more and window_frames no less, got {self.stride} and "
                f"{self.window_frames}"
            )
        if self.kept < 1:
            raise ConfigError(
                f"a window of {self.window_frames} frames has no output frame that sees the "
                f"{max(0, self.left)} frames before and {max(0, self.right)} after it",
                hint="take longer windows, or smaller margins",
                settings=("window_seconds",),
            )

    @property
    def kept(self) -> int:
        """Output frames that a window in the middle gives."""
        return self._stop - self._skip

    @property
    def hop_frames(self) -> int:
        """Input frames from the start of a window to that of the next."""
        return self.kept * self.stride

    @property
    def _skip(self) -> int:
        return -(-max(0, self.left) // self.stride)

    @property
    def _stop(self) -> int:
        return (self.window_frames - 1 - max(0, self.right)) // self.stride + 1

    def windows(self, num_frames: int) -> Iterator[Window]:
        """Yield the windows that cover an input, in order.

        Parameters
        ----------
        num_frames : length of the input, 1 or more.

        Raises
        ------
        ConfigError : the input is empty.
        """
        if num_frames < 1:
            raise ConfigError(f"windows need an input of 1 frame or more, got {num_frames}")
        start = first = 0
        while start + self.window_frames < num_frames:
            last = start // self.stride + self._stop
            yield Window(start, start + self.window_frames, first, last)
            start, first = start + self.hop_frames, last
        back = -(-max(0, num_frames - self.window_frames) // self.stride) * self.stride
        yield Window(min(start, back), num_frames, first, None)
