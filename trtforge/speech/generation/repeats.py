"""Keep a text from going round in circles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ConfigError


@dataclass(frozen=True)
class NoRepeat:
    """Take the likeliest symbol that makes no run of symbols come a second time; use it as ``pick``.

    Only what was generated counts, not the prompt, so that a summary may still say what its source says.

    Parameters
    ----------
    size : symbols of a run that must not come again, 1 or more.

    Raises
    ------
    ConfigError : ``size`` is below 1.

    References
    ----------
    R. Paulus, C. Xiong, R. Socher, "A Deep Reinforced Model for Abstractive Summarization", ICLR 2018,
    section 2.5.
    """

    size: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"size must be 1 or more, got {self.size}", settings=("size",))

    def __call__(self, scores: NDArray[np.float32], generated: Sequence[int]) -> int:
        """Return a symbol."""
        before = self.size - 1
        tail = tuple(generated[len(generated) - before :]) if before else ()
        allowed = scores.copy()
        for start in range(len(generated) - before):
            if tuple(generated[start : start + before]) == tail:
                allowed[generated[start + before]] = -np.inf
        return int(allowed.argmax())
