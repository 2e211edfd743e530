"""Keys and values of all rows in GPU memory, written in place, for decoders that are engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.nvidia.cuda import Stream, fill_with_zeros, set_device
from trtforge.nvidia.rows import RowWriter
from trtforge.runtime import DeviceArray, Session
from trtforge.runtime.device_array import DeviceMemory
from trtforge.speech.generation.signature import DecoderSignature


class DeviceCache:
    """What `HostCache` is, on the GPU of a session: each layer's keys and values are arrays of their own.

    A step reads them where they lie; its new rows are put in their places by one kernel. To the host go two
    numbers a row, and the scores where they are asked for.

    Parameters
    ----------
    session : the decoder's engine.
    signature, num_rows, places, memory_length : as for `HostCache`.

    Raises
    ------
    MissingExtraError : cuda-python or NVRTC is not installed.
    OutOfMemoryError : the GPU has no room for the rows.
    """

    def __init__(
        self,
        session: Session,
        signature: DecoderSignature,
        *,
        num_rows: int,
        places: int,
        memory_length: int,
    ) -> None:
        set_device(session.device)
        self._session, self._signature, self.places = session, signature, places
        self._num_rows, self._memory_length = num_rows, memory_length
        self._width_bytes = signature.head_width * signature.kv_dtype.itemsize
        self._memory = DeviceMemory(session.device)
        self._writer = RowWriter(session.device)
        self._masks: tuple[NDArray[Any], DeviceArray] | None = None
        self._empty: dict[str, DeviceArray] = {}
        self._cross = self._zeros("cross", num_rows, memory_length)
        self._own = self._zeros("self", num_rows, places)

    def seat(self, row: int, memory: Mapping[str, Any], index: int) -> None:
        """Give a row the encoder's output for one input."""
        heads, pairs, given = self._signature.num_heads, [], 0
        for name, held in self._cross.items():
            source = memory[name]
            given = source.shape[2]
            pairs.append(
                (
                    held.address + row * heads * self._memory_length * self._width_bytes,
                    source.address + index * heads * given * self._width_bytes,
                )
            )
        self._writer.copy(
            pairs,
            target_pitch=self._memory_length * self._width_bytes,
            source_pitch=given * self._width_bytes,
            width_bytes=given * self._width_bytes,
            height=heads,
        )

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Run the network on what the rows hold."""
        return self._run({**feeds, **self._cross, **self._own})

    def look(self, feeds: Mapping[str, NDArray[Any]], memory: Mapping[str, Any]) -> dict[str, Any]:
        """Run the network on inputs that have no rows, with an empty cache."""
        count = len(feeds["tokens"])
        if not self._empty or next(iter(self._empty.values())).shape[0] != count:
            self._empty = self._zeros("self", count, 1)
        cross = {name: memory[name] for name in self._signature.names("cross")}
        # The encoder's outputs lie elsewhere each time: no graph of them would serve again.
        return self._run({**feeds, **cross, **self._empty}, graph=False)

    def write(self, outputs: Mapping[str, Any], positions: NDArray[np.int32]) -> None:
        """Add what a run gave, from ``positions`` on; rows at a negative position are left alone."""
        layers = range(self._signature.num_layers)
        self._writer.write(
            [[self._own[f"self_{part}_{layer}"].address for layer in layers] for part in ("key", "value")],
            [outputs["new_keys"].address, outputs["new_values"].address],
            positions,
            heads=self._signature.num_heads,
            added=outputs["new_keys"].shape[3],
            places=self.places,
            width_bytes=self._width_bytes,
        )

    def to_host(self, value: Any) -> NDArray[Any]:
        """Return an output of a run as a NumPy array."""
        result: NDArray[Any] = value.numpy()
        return result

    def grow(self, places: int) -> None:
        """Make room for longer rows; what they hold stays."""
        larger = self._zeros("self", self._num_rows, places)
        self._writer.copy(
            [(larger[name].address, held.address) for name, held in self._own.items()],
            target_pitch=places * self._width_bytes,
            source_pitch=self.places * self._width_bytes,
            width_bytes=self.places * self._width_bytes,
            height=self._num_rows * self._signature.num_heads,
        )
        self._own, self.places = larger, places

    def close(self) -> None:
        """Give the memory back; closing twice does nothing."""
        self._cross.clear()
        self._own.clear()
        self._empty.clear()
        self._masks = None
        self._writer.close()
        self._memory.close()

    def _run(self, feeds: dict[str, Any], *, graph: bool = True) -> dict[str, Any]:
        masks = feeds["masks"]
        # They stay the same from step to step.
        if self._masks is None or self._masks[0] is not masks:
            self._masks = masks, self._memory.send(masks)
        feeds["masks"] = self._masks[1]
        return dict(self._session.run(feeds, outputs="device", graph=graph))

    def _zeros(self, kind: str, num_rows: int, places: int) -> dict[str, DeviceArray]:
        shape = self._signature.shape(num_rows, places)
        made = {
            name: self._memory.new(shape, self._signature.kv_dtype) for name in self._signature.names(kind)
        }
        with Stream() as stream:
            for array in made.values():
                fill_with_zeros(array.address, array.nbytes, stream)
            stream.synchronize()
        return made
