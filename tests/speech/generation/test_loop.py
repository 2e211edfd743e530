"""What the loop does between two steps of a decoder, with rows that a script plays."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trtforge.errors import ExecutionError
from trtforge.speech.generation.loop import Seat, generate
from trtforge.speech.generation.requests import Request
from trtforge.speech.whisper.rules import WhisperRules

STOP, FIRST_TIME = 50, 60


class Played:
    """Rows that say what was written beforehand, and keep what they were fed."""

    num_positions = 448

    def __init__(self, *texts: list[int]) -> None:
        self.num_rows, self.texts = len(texts), texts
        self.fed: list[tuple[Any, ...]] = []

    def seat(self, *given: Any) -> None:
        pass

    def extend(self, tokens: Any, positions: Any, choices: Any) -> Any:
        self.fed.append((tokens.tolist(), positions.tolist(), list(choices)))
        step = len(self.fed) - 1
        said = [text[step] if step < len(text) else STOP for text in self.texts]
        scores = np.full(len(said), -0.5, np.float32)
        return SimpleNamespace(token=np.array(said, np.int32), log_probability=scores)


def whisper_rules() -> WhisperRules:
    known = SimpleNamespace(first_time=FIRST_TIME)
    return WhisperRules(known, 200, timestamps=True)  # type: ignore[arg-type]


def test_times_forbid_what_went_before_the_last() -> None:
    text = [FIRST_TIME, 1, FIRST_TIME + 5, FIRST_TIME + 5, 2, 3]
    choices = [whisper_rules().allow(text[:end]) for end in range(1, len(text) + 1)]
    assert [choice.ban_to for choice in choices] == [61, 61, 65, 66, 66, 66]
    assert {(choice.ban_from, choice.group_from) for choice in choices} == {(FIRST_TIME, FIRST_TIME)}


def test_idle_rows_and_ended_rows_are_fed_nothing() -> None:
    decoder = Played([1, 2, STOP], [3, STOP], [])
    request = Request((7, 8), 5, frozenset({STOP}))
    found = [row.tokens for row in generate(decoder, [Seat(request), Seat(request)])]  # type: ignore[arg-type]
    assert found == [(3,), (1, 2)]
    assert [fed[:2] for fed in decoder.fed] == [
        ([[7, 8], [7, 8], [0, 0]], [0, 0, -1]),
        ([[1], [3], [0]], [2, 2, -1]),
        ([[2], [0], [0]], [3, -1, -1]),
    ]


def test_numbers_that_are_none_are_an_error() -> None:
    decoder = Played([1])
    decoder.extend = lambda *_: SimpleNamespace(  # type: ignore[method-assign]
        token=np.array([1], np.int32), log_probability=np.array([np.nan], np.float32)
    )
    with pytest.raises(ExecutionError, match="after 0 symbols no symbol has a probability"):
        list(generate(decoder, [Seat(Request((7,), 5, frozenset({STOP})))]))  # type: ignore[arg-type]


def test_a_step_costs_the_same_however_much_was_said() -> None:
    class Watched(list[int]):
        looked = 0

        def __iter__(self) -> Any:
            type(self).looked += len(self)
            return super().__iter__()

    said = Watched([FIRST_TIME, *range(40), FIRST_TIME + 9])
    assert whisper_rules().allow(said).ban_to == FIRST_TIME + 9
    assert Watched.looked == 0
