"""Translate sequences of symbols: the networks and the loop, without any text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._progress import OnProgress
from trtforge.errors import ConfigError, InputError
from trtforge.runtime import Session
from trtforge.speech.generation import (
    Generated,
    KeptRows,
    Pick,
    Request,
    RowDecoder,
    Seat,
    Suppress,
    generate,
)
from trtforge.speech.generation.decoder import Network
from trtforge.speech.generation.engine_profiles import largest_size
from trtforge.speech.generation.loop import common_prefix
from trtforge.speech.translation.constrained import Constraint, Found, Tokens, max_rows, search

_PREFILL = 8


class SequenceTranslator:
    """An encoder and a decoder with what they are asked for.

    Parameters
    ----------
    encoder, decoder : the networks that `export_networks` wrote, both in an `OnnxRunner`; or the engines that
        `build_translator` built, both in a `Session`.
    num_positions : symbols that a sequence can have, on either side.
    prompt : symbols that a translation begins with: the start, and where it is asked for the language.
    stop : symbols that end a translation; none where each goes on to its limit.
    rules : symbols that never come.
    max_batch : most sequences at a time, in the encoder and in the decoder; an engine has its own.
    padding : the symbol that fills shorter sequences; what it is makes no difference.

    Raises
    ------
    ConfigError : ``max_batch`` is below 1.
    """

    def __init__(
        self,
        encoder: Network,
        decoder: Network,
        num_positions: int,
        prompt: Tokens,
        stop: frozenset[int],
        rules: Suppress | None = None,
        max_batch: int = 32,
        padding: int = 0,
    ) -> None:
        if max_batch < 1:
            raise ConfigError(f"max_batch must be 1 or more, got {max_batch}", settings=("max_batch",))
        self.encoder, self.decoder = encoder, decoder
        self.prompt, self.stop, self.rules = prompt, stop, rules or Suppress()
        self.max_batch, self.padding, self.num_positions = max_batch, padding, num_positions
        self.max_source = num_positions
        self._rows = KeptRows(decoder)
        if isinstance(decoder, Session):
            self.max_batch = largest_size(decoder.profiles, "tokens", 0)
            self.num_positions = largest_size(decoder.profiles, "self_key_0", 2)
            self.max_source = largest_size(decoder.profiles, "cross_key_0", 2)

    @property
    def max_new_tokens(self) -> int:
        """Longest translation that the networks can give."""
        return self.num_positions - len(self.prompt) + 1

    def close(self) -> None:
        """Give back the memory of the rows; the networks stay open."""
        self._rows.close()

    def translate(
        self,
        sources: Sequence[Sequence[int]],
        max_new_tokens: Sequence[int],
        *,
        pick: Pick | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Generated]:
        """Translate greedily unless ``pick`` chooses otherwise, sequences of like length together.

        Parameters
        ----------
        sources : symbols of each, one or more, the end symbol among them.
        max_new_tokens : most symbols for each translation.
        pick : chooses each symbol on the host; None takes the likeliest.
        on_progress : called with the number of finished translations and of all.

        Returns
        -------
        What each row gave, in the order of the sources.

        Raises
        ------
        InputError : a source is empty or longer than ``max_source``; nothing has run then.
        TrtforgeError : a network failed.
        """
        for index, source in enumerate(sources):
            if not 1 <= len(source) <= self.max_source:
                raise InputError(
                    f"source {index} has {len(source)} symbols, the network takes 1 to {self.max_source}",
                    hint="split it into sentences",
                )
        done: dict[int, Generated] = {}
        for group in groups_by_length([len(source) for source in sources], self.max_batch):
            longest = max(len(sources[index]) for index in group)
            with self._decoder(min(self.max_batch, len(group)), longest) as decoder:
                seats = self._seats(sources, group, max_new_tokens, pick)
                for generated in generate(decoder, seats, max_prefill=_PREFILL):
                    done[generated.request.key] = generated
                    if on_progress is not None:
                        on_progress(len(done), len(sources))
        return [done[index] for index in range(len(sources))]

    def translate_with(
        self,
        source: Sequence[int],
        constraints: Sequence[Constraint],
        *,
        max_new_tokens: int,
        continues_word: NDArray[np.bool_],
        width: int = 4,
        in_order: bool = False,
        accept: Callable[[Tokens], bool] = lambda tokens: True,
    ) -> Found | None:
        """Translate one sequence so that it holds the constraints; see `search`.

        Raises
        ------
        TrtforgeError : a network failed.
        """
        with self._decoder(max_rows(constraints, width), len(source)) as decoder:
            memory = self._encode([source])
            for row in range(decoder.num_rows):
                decoder.seat(row, memory, 0, len(source))
            return search(
                _PrefixScorer(decoder, self.prompt, self.rules),
                constraints,
                end=min(self.stop),
                max_new_tokens=min(max_new_tokens, self.max_new_tokens - 1),
                continues_word=continues_word,
                width=width,
                in_order=in_order,
                accept=accept,
            )

    def _decoder(self, num_rows: int, memory_length: int) -> AbstractContextManager[RowDecoder]:
        """Give rows for a while; an engine's are as many and as long as it was built for."""
        if isinstance(self.decoder, Session):
            num_rows, memory_length = self.max_batch, self.max_source
        return self._rows.lend(
            num_rows=num_rows,
            num_positions=self.num_positions,
            rules=self.rules,
            memory_length=memory_length,
        )

    def _encode(self, sources: Sequence[Sequence[int]]) -> Mapping[str, Any]:
        lengths = np.array([len(source) for source in sources], np.int32)
        tokens = np.full((len(sources), int(lengths.max())), self.padding, np.int32)
        for row, source in enumerate(sources):
            tokens[row, : len(source)] = source
        feeds = {"tokens": tokens, "lengths": lengths}
        if isinstance(self.encoder, Session):
            return self.encoder.run(feeds, outputs="device")
        return self.encoder.run(feeds)

    def _seats(
        self,
        sources: Sequence[Sequence[int]],
        group: Sequence[int],
        max_new_tokens: Sequence[int],
        pick: Pick | None,
    ) -> Iterator[Seat]:
        """Encode a batch when its first row is asked for."""
        for start in range(0, len(group), self.max_batch):
            rows = group[start : start + self.max_batch]
            memory = self._encode([sources[row] for row in rows])
            for place, row in enumerate(rows):
                limit = min(max_new_tokens[row], self.max_new_tokens)
                request = Request(self.prompt, limit, self.stop, self.rules, pick, key=row)
                yield Seat(request, memory, place, len(sources[row]))


def groups_by_length(lengths: Sequence[int], max_batch: int) -> list[list[int]]:
    """Put sequences of like length together, the longest first.

    A group has at least ``max_batch`` sequences where there are so many, and then ends before one that is at
    most half as long as its longest, so that short sequences do not read the space of long ones.

    Returns
    -------
    Indices, each in one group.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        group = groups[-1] if groups else []
        if not group or (len(group) >= max_batch and 2 * lengths[index] <= lengths[group[0]]):
            groups.append([index])
        else:
            group.append(index)
    return groups


class _PrefixScorer:
    """Scores what follows translations so far, by feeding each row what is not in its cache yet."""

    def __init__(self, decoder: RowDecoder, prompt: Tokens, rules: Suppress) -> None:
        self._decoder, self._prompt, self._rules = decoder, prompt, rules
        self._held: list[Tokens] = [()] * decoder.num_rows

    def __call__(self, prefixes: Sequence[Tokens]) -> NDArray[np.float32]:
        size = self._decoder.num_rows
        parts = [self._score(prefixes[start : start + size]) for start in range(0, len(prefixes), size)]
        return np.concatenate(parts)

    def _score(self, prefixes: Sequence[Tokens]) -> NDArray[np.float32]:
        rows = [(*self._prompt, *prefix) for prefix in prefixes]
        common = [common_prefix(held, row) for held, row in zip(self._held, rows, strict=False)]
        begin = min(*common, len(rows[0]) - 1)
        choices = [self._rules.allow(prefixes[0])] * self._decoder.num_rows
        positions = np.full(self._decoder.num_rows, -1, np.int32)
        for start in range(begin, len(rows[0]), _PREFILL):
            new = np.array([row[start : start + _PREFILL] for row in rows], np.int32)
            tokens = np.zeros((self._decoder.num_rows, new.shape[1]), np.int32)
            tokens[: len(rows)] = new
            positions[: len(rows)] = start
            scored = self._decoder.extend(tokens, positions, choices)
        self._held[: len(rows)] = rows
        return scored.scores[: len(rows)]
