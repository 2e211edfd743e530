"""Read words with their times from CTC scores that come in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ExecutionError, InputError
from trtforge.speech.ctc import CtcDecoder
from trtforge.speech.transcript import Word
from trtforge.units import Seconds


class CtcStream:
    """Greedy CTC decoding of one recording, a block of scores at a time.

    The words, joined by spaces, are what `CtcDecoder.decode` makes of all blocks put together.

    Parameters
    ----------
    decoder : vocabulary and blank.
    seconds_per_output : time from one output frame to the next.
    """

    def __init__(self, decoder: CtcDecoder, seconds_per_output: float) -> None:
        self._decoder, self._step = decoder, seconds_per_output
        self._previous = -1
        self._time = 0
        self._letters: list[str] = []
        self._start = self._end = 0

    def push(self, scores: NDArray[Any]) -> list[Word]:
        """Take the next scores and return the words that are complete.

        Parameters
        ----------
        scores : float [time, symbols], logits or log-probabilities.

        Raises
        ------
        InputError : the scores are of another shape.
        ExecutionError : a score is NaN; the stream cannot be used any more.
        """
        if scores.ndim != 2 or scores.shape[1] != self._decoder.num_symbols:
            raise InputError(f"scores must be [time, {self._decoder.num_symbols}], got {list(scores.shape)}")
        if np.isnan(scores).any():
            raise ExecutionError(
                f"output {self._decoder.output!r} has NaN from {self._time * self._step:.2f} s on or later; "
                "it has no text"
            )
        words: list[Word] = []
        for symbol in scores.argmax(axis=1).tolist():
            if symbol == self._decoder.blank:
                pass
            elif symbol == self._previous:
                if self._letters:
                    self._end = self._time + 1
            else:
                words += self._take(self._decoder.vocabulary[symbol])
            self._previous = symbol
            self._time += 1
        return words

    def finish(self) -> list[Word]:
        """Return the word that no space has ended, if there is one."""
        return self._word()

    def _take(self, text: str) -> list[Word]:
        words = []
        for letter in text:
            if letter.isspace():
                words += self._word()
                continue
            if not self._letters:
                self._start = self._time
            self._letters.append(letter)
            self._end = self._time + 1
        return words

    def _word(self) -> list[Word]:
        if not self._letters:
            return []
        start, end = (Seconds(frame * self._step) for frame in (self._start, self._end))
        text = "".join(self._letters)
        self._letters.clear()
        return [Word(text, start, end)]
