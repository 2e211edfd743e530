"""Search for the likeliest translation among those that hold given words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ConfigError

Tokens: TypeAlias = tuple[int, ...]
# Takes translations so far, all of one length; returns log-probabilities of the next symbol, [rows, symbols].
Scorer: TypeAlias = Callable[[Sequence[Tokens]], NDArray[np.float32]]


@dataclass(frozen=True)
class Constraint:
    """Words that must come once.

    Parameters
    ----------
    tokens : their symbols, one or more.
    tokens_at_start : their symbols where they begin the translation; None where they are the same.

    Raises
    ------
    ConfigError : there are no symbols.
    """

    tokens: Tokens
    tokens_at_start: Tokens | None = None

    def __post_init__(self) -> None:
        if not self.tokens or self.tokens_at_start == ():
            raise ConfigError("a constraint has one symbol or more")


@dataclass(frozen=True)
class Found:
    """A translation that holds all constraints.

    Parameters
    ----------
    tokens : without the end symbol.
    log_probability : of them and the end symbol together.
    """

    tokens: Tokens
    log_probability: float

    @property
    def mean_log_probability(self) -> float:
        """Mean over the symbols and the end symbol."""
        return self.log_probability / (len(self.tokens) + 1)


@dataclass(frozen=True)
class _Hypothesis:
    """A translation so far: which constraints it holds, and what is left of the one that it is within."""

    tokens: Tokens = ()
    score: float = 0.0
    met: frozenset[int] = frozenset()
    rest: Tokens = ()
    has_just_met: bool = False

    @property
    def cell(self) -> tuple[int, int]:
        return len(self.met), len(self.rest)


def max_rows(constraints: Sequence[Constraint], width: int) -> int:
    """Return the most translations that `search` asks scores of at a time."""
    longest = max((len(tokens) for one in constraints for tokens in _ways(one)), default=1)
    return (len(constraints) + 1) * width + len(constraints) * (longest - 1) * _inner(width)


def search(
    scorer: Scorer,
    constraints: Sequence[Constraint],
    *,
    end: int,
    max_new_tokens: int,
    continues_word: NDArray[np.bool_],
    width: int = 4,
    in_order: bool = False,
    accept: Callable[[Tokens], bool] = lambda tokens: True,
) -> Found | None:
    """Search a grid of beams: one for each number of constraints met, and of symbols left of one begun.

    A translation may begin a constraint that it lacks at any symbol, and then follows it to its end. It may
    end only when it has all.

    Parameters
    ----------
    scorer : the network.
    constraints : words that must come, each once.
    end : the symbol that ends a translation.
    max_new_tokens : longest translation, the end symbol not counted.
    continues_word : bool [symbols], of the symbols that go on with the word before them; none may follow a
        constraint, which would make it another word.
    width : translations kept in each beam, and half as many where a constraint is begun.
    in_order : whether the constraints must come in the order given.
    accept : asked for each translation that is complete; refused ones are dropped.

    Returns
    -------
    The best by mean log-probability of the first ``width`` that were accepted. Where none of them ended among
    the best of its beam, the best of those that could have ended; None where there was none either.

    References
    ----------
    C. Hokamp and Q. Liu, "Lexically Constrained Decoding for Sequence Generation Using Grid Beam Search", ACL
    2017.
    """
    alive = [_Hypothesis()]
    found: list[Found] = []
    could_end: list[Found] = []
    for _ in range(max_new_tokens + 1):
        scores = np.asarray(scorer([hypothesis.tokens for hypothesis in alive]), np.float64)
        cells: dict[tuple[int, int], list[_Hypothesis]] = {}
        for hypothesis, row in zip(alive, scores, strict=True):
            if hypothesis.cell == (len(constraints), 0) and np.isfinite(row[end]):
                could_end.append(Found(hypothesis.tokens, hypothesis.score + float(row[end])))
            for following in _follow(hypothesis, row, constraints, end, continues_word, width, in_order):
                cells.setdefault(following.cell, []).append(following)
        alive = []
        for (_, num_left), beam in cells.items():
            kept = _inner(width) if num_left else width
            for best in sorted(beam, key=lambda hypothesis: -hypothesis.score)[:kept]:
                if best.tokens[-1] != end or best.rest:
                    alive.append(best)
                elif accept(best.tokens[:-1]):
                    found.append(Found(best.tokens[:-1], best.score))
        alive = [hypothesis for hypothesis in alive if len(hypothesis.tokens) <= max_new_tokens]
        if len(found) >= width or not alive:
            break
    if found:
        return max(found, key=_height)
    ranked = sorted(could_end, key=_height, reverse=True)
    return next((one for one in ranked if accept(one.tokens)), None)


def _height(found: Found) -> float:
    return found.mean_log_probability


def _ways(constraint: Constraint) -> set[Tokens]:
    return {constraint.tokens, constraint.tokens_at_start or constraint.tokens}


def _inner(width: int) -> int:
    return max(1, width // 2)


def _follow(
    hypothesis: _Hypothesis,
    row: NDArray[np.float64],
    constraints: Sequence[Constraint],
    end: int,
    continues_word: NDArray[np.bool_],
    width: int,
    in_order: bool,
) -> list[_Hypothesis]:
    """List what may become of one translation in one step."""
    if hypothesis.rest:
        can_go_on = np.isfinite(row[hypothesis.rest[0]])
        return [_within(hypothesis, row, hypothesis.rest, hypothesis.met)] if can_go_on else []
    lacking = [index for index in range(len(constraints)) if index not in hypothesis.met]
    following = []
    for index in lacking[:1] if in_order else lacking:
        constraint = constraints[index]
        choices = {constraint.tokens} if hypothesis.tokens else _ways(constraint)
        following += [
            _within(hypothesis, row, tokens, hypothesis.met | {index})
            for tokens in sorted(choices)
            if np.isfinite(row[tokens[0]])
        ]
    free = np.where(continues_word, -np.inf, row) if hypothesis.has_just_met else row.copy()
    if lacking:
        free[end] = -np.inf
    count = min(width, len(free))
    for token in np.argpartition(-free, count - 1)[:count]:
        if np.isfinite(free[token]):
            following.append(
                _Hypothesis(
                    (*hypothesis.tokens, int(token)), hypothesis.score + float(row[token]), hypothesis.met
                )
            )
    return following


def _within(
    hypothesis: _Hypothesis, row: NDArray[np.float64], tokens: Tokens, met: frozenset[int]
) -> _Hypothesis:
    """Take the next symbol of a constraint; it counts as met when it is begun, for it will be followed."""
    return _Hypothesis(
        (*hypothesis.tokens, tokens[0]),
        hypothesis.score + float(row[tokens[0]]),
        met,
        tokens[1:],
        has_just_met=len(tokens) == 1,
    )
