"""What a row is asked for, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ConfigError
from trtforge.speech.generation.rules import Rules, Suppress

# Takes the log-probabilities, float32 [symbols], and the symbols generated so far; returns the next symbol.
Pick: TypeAlias = "Callable[[NDArray[np.float32], Sequence[int]], int]"


@dataclass(frozen=True)
class Request:
    """What to generate for one input.

    Parameters
    ----------
    prompt : symbols to begin with, one or more.
    max_new_tokens : most symbols to generate after them.
    stop : symbols that end the row.
    rules : what is forbidden. All rows of a decoder take their masks from those it was made with.
    pick : chooses the next symbol on the host, which costs a copy of the scores; None for the likeliest,
        which the network itself finds.
    key : whatever the caller knows the row by.

    Raises
    ------
    ConfigError : the prompt is empty, or nothing may be generated.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    stop: frozenset[int]
    rules: Rules = Suppress()  # noqa: RUF009 - frozen
    pick: Pick | None = None
    key: Any = None

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ConfigError("a prompt has one symbol at least, the one that the decoder starts with")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be 1 or more, got {self.max_new_tokens}")


@dataclass(frozen=True)
class Generated:
    """What a row gave.

    Parameters
    ----------
    request : what was asked for.
    tokens : the symbols, without prompt and stop.
    log_probabilities : of each symbol where the rules had been applied, and of the stop where one came.
    stopped : whether a stop came, rather than the greatest length.
    """

    request: Request
    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    stopped: bool

    @property
    def mean_log_probability(self) -> float:
        """Mean over all symbols and the stop."""
        return float(np.mean(self.log_probabilities))


@dataclass(frozen=True)
class Sample:
    """Draw the next symbol at a temperature; use it as ``pick``.

    What is drawn depends on the seed and on how many symbols came before, not on other rows.

    Parameters
    ----------
    temperature : above 0; 1 draws by the network's probabilities, lower is more greedy.
    seed : 0 or more.

    Raises
    ------
    ConfigError : a setting is out of range.
    """

    temperature: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, got {self.temperature}; greedy is pick=None")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, got {self.seed}")

    def __call__(self, scores: NDArray[np.float32], generated: Sequence[int]) -> int:
        """Return a symbol."""
        heights = scores.astype(np.float64) / self.temperature
        shares = np.exp(heights - heights.max())
        drawn = np.random.default_rng((self.seed, len(generated))).random() * shares.sum()
        return min(int(np.searchsorted(shares.cumsum(), drawn, side="right")), len(shares) - 1)
