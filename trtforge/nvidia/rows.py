"""Write rows into key-value caches on a GPU, by address."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from trtforge.nvidia.cuda import DeviceBuffer, Stream, copy_array_to_device
from trtforge.nvidia.kernels import Kernels, pointer, unsigned

_BLOCK_SIZE = 256
_WORD_BYTES = 4
_LONG_WORD_BYTES = 16


class RowWriter:
    """Moves keys and values between arrays on a GPU; what it does is done when a call returns.

    Parameters
    ----------
    device : CUDA device ordinal; it must be the calling thread's current GPU.

    Raises
    ------
    MissingExtraError, ExecutionError : as for `Kernels`.
    """

    def __init__(self, device: int) -> None:
        with ExitStack() as stack:
            self._kernels = stack.enter_context(Kernels("rows.cu", {}, device=device))
            self._stream = stack.enter_context(Stream())
            self._table = stack.enter_context(DeviceBuffer())
            self._positions = stack.enter_context(DeviceBuffer())
            self._pairs = stack.enter_context(DeviceBuffer())
            self._resources = stack.pop_all()
        self._known: tuple[int, ...] = ()

    def write(
        self,
        caches: Sequence[Sequence[int]],
        fresh: Sequence[int],
        positions: np.ndarray[tuple[int, ...], np.dtype[np.int32]],
        *,
        heads: int,
        added: int,
        places: int,
        width_bytes: int,
    ) -> None:
        """Write new rows into the caches of all layers.

        Parameters
        ----------
        caches : addresses of the caches of each kind, keys and values, one for each layer;
            [batch, heads, places, width].
        fresh : address of the new rows of each kind, [batch, layers, heads, added, width].
        positions : int32 [batch], where the rows begin; negative for none.
        heads, added, places : sizes of these axes.
        width_bytes : bytes of the last axis, a multiple of 4.

        Raises
        ------
        ExecutionError, DeviceLostError : CUDA refuses.
        """
        batch, layers = len(positions), len(caches[0])
        known = tuple(address for kind in caches for address in kind)
        if known != self._known:
            table = np.array(known, np.uint64)
            self._table.reserve(table.nbytes)
            copy_array_to_device(self._table.address, table)
            self._known = known
        held = np.ascontiguousarray(positions, np.int32)
        self._positions.reserve(held.nbytes)
        copy_array_to_device(self._positions.address, held)
        width = width_bytes // _WORD_BYTES
        total = batch * layers * heads * added * width
        sizes = [unsigned(size) for size in (batch, layers, heads, added, places, width)]
        for kind, address in enumerate(fresh):
            first = self._table.address + kind * layers * np.dtype(np.uint64).itemsize
            self._kernels.launch(
                "write_rows",
                [pointer(first), pointer(address), pointer(self._positions.address), *sizes],
                self._stream,
                num_blocks=-(-total // _BLOCK_SIZE),
                block_size=_BLOCK_SIZE,
            )
        self._stream.synchronize()

    def copy(
        self,
        pairs: Sequence[tuple[int, int]],
        *,
        target_pitch: int,
        source_pitch: int,
        width_bytes: int,
        height: int,
    ) -> None:
        """Copy blocks of rows between arrays whose rows lie differently far apart.

        Parameters
        ----------
        pairs : addresses to copy to and from.
        target_pitch, source_pitch : bytes from one row to the next, multiples of 4.
        width_bytes, height : of each block, less than 16 GiB in all; a multiple of 4.

        Raises
        ------
        ExecutionError, DeviceLostError : CUDA refuses.
        """
        table = np.array(pairs, np.uint64)
        self._pairs.reserve(table.nbytes)
        copy_array_to_device(self._pairs.address, table)
        sizes = target_pitch, source_pitch, width_bytes
        is_aligned = not (table % _LONG_WORD_BYTES).any() and not any(
            size % _LONG_WORD_BYTES for size in sizes
        )
        word = _LONG_WORD_BYTES if is_aligned else _WORD_BYTES
        num_blocks = -(-(width_bytes // word) * height // _BLOCK_SIZE)
        self._kernels.launch(
            f"copy_rows_by_{word}",
            [
                pointer(self._pairs.address),
                *(unsigned(size // word) for size in sizes),
                unsigned(height),
                unsigned(num_blocks),
            ],
            self._stream,
            num_blocks=len(pairs) * num_blocks,
            block_size=_BLOCK_SIZE,
        )
        self._stream.synchronize()

    def close(self) -> None:
        """Free what it holds; closing twice does nothing."""
        self._resources.close()
