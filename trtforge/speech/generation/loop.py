"""Generate for any number of inputs in a fixed number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np

from trtforge.errors import ExecutionError
from trtforge.speech.generation.decoder import RowDecoder, Scored
from trtforge.speech.generation.requests import Generated, Request
from trtforge.speech.generation.rules import Choice

_IDLE = Choice()


@dataclass(frozen=True)
class Seat:
    """An input that waits for a row.

    Parameters
    ----------
    request : what to generate.
    memory : outputs of the encoder network; none where there is no encoder.
    index : the input's place in its batch.
    length : true length of the input, where inputs differ in length.
    num_held : first symbols of the prompt that the row it gets holds already, fewer than the prompt has. Only
        where no more inputs wait than there are rows does a caller know which row that is: they are taken in
        order.
    """

    request: Request
    memory: Mapping[str, Any] = field(default_factory=dict)
    index: int = 0
    length: int | None = None
    num_held: int = 0


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Count the symbols that both begin with."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


# Looks at what a row gave, and returns what the same input is asked for again, or None to accept it.
Retry = Callable[[Generated], "Request | None"]


@dataclass(slots=True)
class _Row:
    """A row under way: the symbols that it must be fed, and those that it gave."""

    request: Request
    pending: list[int] = field(default_factory=list)
    position: int = 0
    tokens: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pending = list(self.request.prompt[self.position :])


def generate(
    decoder: RowDecoder, seats: Iterable[Seat], *, retry: Retry | None = None, max_prefill: int = 8
) -> Iterator[Generated]:
    """Generate for each input; rows that end are given the next input while the others go on.

    Where all rows have several symbols of their prompts left, these are given at once (prefill); a row that
    joins others is fed its prompt a symbol at a time, beside their steps.

    Parameters
    ----------
    decoder : the rows. What they held before is forgotten, but for `Seat.num_held`.
    seats : the inputs, taken as rows become free; an iterator may encode them as they are asked for.
    retry : asked for each row that ended; the input stays in its row, so that a second attempt costs neither
        the encoder nor the other rows anything.
    max_prefill : most symbols of prompts to give at once.

    Returns
    -------
    What the rows gave, in the order in which they ended.

    Raises
    ------
    InputError : an input does not fit the rows, or has a symbol that the network lacks.
    ExecutionError : no symbol of a row has a probability.
    TrtforgeError : the network failed.
    """
    waiting = iter(seats)
    rows: list[_Row | None] = [None] * decoder.num_rows
    while True:
        for index, row in enumerate(rows):
            if row is None:
                seat = next(waiting, None)
                if seat is None:
                    break
                decoder.seat(index, seat.memory, seat.index, seat.length)
                rows[index] = _Row(seat.request, position=seat.num_held)
        if not any(rows):
            return
        scored = _advance(decoder, rows, max_prefill)
        # A step's numbers at once: taking them out of arrays one by one costs more than all else here.
        tokens, log_probabilities = scored.token.tolist(), scored.log_probability.tolist()
        for index, row in enumerate(rows):
            if row is None or row.pending:
                continue
            token, log_probability = tokens[index], log_probabilities[index]
            if row.request.pick is not None and not isnan(log_probability):
                scores = scored.scores[index]
                token = row.request.pick(scores, row.tokens)
                log_probability = float(scores[token])
            done = _take(row, token, log_probability, decoder.num_positions)
            if done is not None:
                again = None if retry is None else retry(done)
                rows[index] = None if again is None else _Row(again)
                if again is None:
                    yield done


def _advance(decoder: RowDecoder, rows: list[_Row | None], max_prefill: int) -> Scored:
    num_new = min(max_prefill, *[len(row.pending) for row in rows if row is not None])
    idle = [0] * num_new
    tokens, positions, choices = [], [], []
    for row in rows:
        if row is None:
            tokens.append(idle)
            positions.append(-1)
            choices.append(_IDLE)
            continue
        tokens.append(row.pending[:num_new])
        positions.append(row.position)
        del row.pending[:num_new]
        row.position += num_new
        choices.append(_IDLE if row.pending else row.request.rules.allow(row.tokens))
    return decoder.extend(np.array(tokens, np.int32), np.array(positions, np.int32), choices)


def _take(row: _Row, token: int, log_probability: float, num_positions: int) -> Generated | None:
    """Add the next symbol to a row; return what it gave if that was the last."""
    request = row.request
    if isnan(log_probability):
        raise ExecutionError(
            f"after {len(row.tokens)} symbols no symbol has a probability: the network gave NaN, or all "
            "symbols are forbidden",
            hint="are the weights finite, and do they fit the precision that the network runs in?",
        )
    row.log_probabilities.append(log_probability)
    stopped = token in request.stop
    if not stopped:
        row.tokens.append(token)
        row.pending.append(token)
    if stopped or len(row.tokens) >= request.max_new_tokens or row.position >= num_positions:
        return Generated(request, tuple(row.tokens), tuple(row.log_probabilities), stopped)
    return None
