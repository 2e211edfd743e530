"""Read words with their times from CTC scores that come in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ExecutionError, InputError
from trtforge.speech.ctc import CtcDecoder
from trtforge.speech.ctc_beam import PlacedSymbol, PrefixBeam
from trtforge.speech.transcript import Word
from trtforge.units import Seconds


class CtcStream:
    """CTC decoding of one recording, a block of scores at a time, greedily or by the decoder's beam.

    The words, joined by spaces, are what `CtcDecoder.decode` makes of all blocks put together. Those of a
    beam are given out when all texts that it keeps have them.

    Parameters
    ----------
    decoder : vocabulary, blank and width of the beam.
    seconds_per_output : time from one output frame to the next.
    """

    def __init__(self, decoder: CtcDecoder, seconds_per_output: float) -> None:
        self._decoder = decoder
        self._words = _Words(decoder.vocabulary, seconds_per_output)
        is_greedy = decoder.beam_width == 1
        self._symbols: _BestPath | PrefixBeam = _BestPath(decoder.blank) if is_greedy else decoder.beam()
        self._step, self._time = seconds_per_output, 0

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
        self._time += len(scores)
        return [word for one in self._symbols.push(scores) for word in self._words.take(one)]

    def finish(self) -> list[Word]:
        """Return the words that are left; nothing may be pushed then, and finishing twice gives none."""
        rest, self._symbols = self._symbols.finish(), _BestPath(self._decoder.blank)
        words = [word for one in rest for word in self._words.take(one)]
        return words + self._words.end()


class _BestPath:
    """The best symbol of each frame; a symbol is given out when another, or a blank, follows it."""

    def __init__(self, blank: int) -> None:
        self._blank = self._last = blank
        self._start = self._time = 0

    def push(self, scores: NDArray[Any]) -> list[PlacedSymbol]:
        found = []
        for symbol in scores.argmax(axis=1).tolist():
            if symbol != self._last:
                found += self.finish()
                self._last, self._start = symbol, self._time
            self._time += 1
        return found

    def finish(self) -> list[PlacedSymbol]:
        if self._last == self._blank:
            return []
        return [PlacedSymbol(self._last, self._start, self._time)]


class _Words:
    """Joins symbols into words; white space in a symbol's text ends one."""

    def __init__(self, vocabulary: tuple[str, ...], step: float) -> None:
        self._vocabulary, self._step = vocabulary, step
        self._letters: list[str] = []
        self._start = self._end = 0

    def take(self, placed: PlacedSymbol) -> list[Word]:
        words = []
        for letter in self._vocabulary[placed.symbol]:
            if letter.isspace():
                words += self.end()
                continue
            if not self._letters:
                self._start = placed.start
            self._letters.append(letter)
            self._end = placed.end
        return words

    def end(self) -> list[Word]:
        if not self._letters:
            return []
        start, end = (Seconds(frame * self._step) for frame in (self._start, self._end))
        text = "".join(self._letters)
        self._letters.clear()
        return [Word(text, start, end)]
