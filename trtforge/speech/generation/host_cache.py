"""Keys and values of all rows in host memory, for networks that run on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.speech.generation.signature import DecoderSignature

Run = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class HostCache:
    """The keys and values that rows have now, written in place.

    Parameters
    ----------
    run : the decoder network: a `Runner`.
    signature : its sizes.
    num_rows : rows.
    places : symbols that a row can hold for now; see `grow`.
    memory_length : most places of the encoder's output.
    """

    def __init__(
        self, run: Run, signature: DecoderSignature, *, num_rows: int, places: int, memory_length: int
    ) -> None:
        self._run, self._signature, self.places = run, signature, places
        self._cross = {
            name: np.zeros(signature.shape(num_rows, memory_length), signature.kv_dtype)
            for name in signature.names("cross")
        }
        self._own = {
            name: np.zeros(signature.shape(num_rows, places), signature.kv_dtype)
            for name in signature.names("self")
        }

    def seat(self, row: int, memory: Mapping[str, Any], index: int) -> None:
        """Give a row the encoder's output for one input.

        Parameters
        ----------
        row : the row.
        memory : outputs of the encoder, [inputs, heads, time, width] each.
        index : the input's place among them.
        """
        for name, held in self._cross.items():
            given = memory[name][index]
            held[row, :, : given.shape[1]] = given

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Run the network on what the rows hold."""
        return dict(self._run({**feeds, **self._cross, **self._own}))

    def look(self, feeds: Mapping[str, NDArray[Any]], memory: Mapping[str, Any]) -> dict[str, Any]:
        """Run the network on inputs that have no rows, with an empty cache."""
        shape = self._signature.shape(len(feeds["tokens"]), 1)
        empty = np.zeros(shape, self._signature.kv_dtype)
        own = dict.fromkeys(self._signature.names("self"), empty)
        cross = {name: memory[name] for name in self._signature.names("cross")}
        return dict(self._run({**feeds, **cross, **own}))

    def write(self, outputs: Mapping[str, Any], positions: NDArray[np.int32]) -> None:
        """Add what a run gave, from ``positions`` on; rows at a negative position are left alone."""
        rows = np.flatnonzero(positions >= 0)
        for part, new in (("key", outputs["new_keys"]), ("value", outputs["new_values"])):
            for layer in range(self._signature.num_layers):
                held = self._own[f"self_{part}_{layer}"]
                for row in rows:
                    begin = positions[row]
                    held[row, :, begin : begin + new.shape[3]] = new[row, layer]

    def to_host(self, value: Any) -> NDArray[Any]:
        """Return an output of a run as a NumPy array."""
        result: NDArray[Any] = value
        return result

    def grow(self, places: int) -> None:
        """Make room for longer rows; what they hold stays."""
        for name, held in self._own.items():
            self._own[name] = np.zeros((*held.shape[:2], places, held.shape[3]), held.dtype)
            self._own[name][:, :, : held.shape[2]] = held
        self.places = places

    def close(self) -> None:
        """Drop everything."""
        self._cross.clear()
        self._own.clear()
