"""Histograms of magnitudes kept on a GPU, from which nothing but counts comes back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge._closing import Closing
from trtforge.nvidia.cuda import (
    DeviceBuffer,
    PinnedBuffer,
    Stream,
    copy_to_device,
    copy_to_host,
    fill_with_zeros,
)
from trtforge.nvidia.kernels import Kernels, num_multiprocessors, pointer, unsigned
from trtforge.nvidia.magnitude_tables import MAX_CUTS, Lying, make_tables

BIN_BITS = 12
NUM_BINS = 1 << BIN_BITS
_COPIES = 4
_BLOCK_SIZE = 512
_SHARED_BYTES = NUM_BINS * _COPIES * 4
_EMPTY_EXPONENT = -1000

# Everything that decides the tables of a batch.
_Layout: TypeAlias = "tuple[tuple[Lying, ...], tuple[int, ...]]"


@dataclass(frozen=True)
class Magnitudes:
    """What was counted of each tensor.

    Parameters
    ----------
    counts : int64 [num_tensors, 4096]; bin ``i`` holds ``i <= |x| * 2 ** (12 - exponent) < i + 1``.
    exponents : of the ranges ``2 ** exponent``, int64 [num_tensors]; -1000 where all was zero.
    num_zeros : values that are exactly zero, which lie in no bin, int64 [num_tensors].
    observed_max : largest magnitudes, float64 [num_tensors].
    """

    counts: NDArray[np.int64]
    exponents: NDArray[np.int64]
    num_zeros: NDArray[np.int64]
    observed_max: NDArray[np.float64]


class Findings(Closing):
    """Buffers of one batch in flight: the tables it is counted by, and what was not finite.

    They must not be used for another batch before the stream is done with this one.
    """

    def __init__(self) -> None:
        self._resources = ExitStack()
        enter = self._resources.enter_context
        self.tables, self.staged_tables = enter(DeviceBuffer()), enter(PinnedBuffer())
        self.found, self.staged_found = enter(DeviceBuffer()), enter(PinnedBuffer())
        self.layout: _Layout | None = None
        self.offsets: tuple[int, ...] = ()
        self.num_works = 0
        self.shape = (0, 0)

    def num_nonfinite(self) -> NDArray[np.uint64]:
        """Return a copy of the counts of non-finite values, uint64 [num_tensors, num_rows + 1].

        The last column is of tensors that belong to every row. The stream must be done with the batch.
        """
        values: NDArray[np.uint64] = self.staged_found.view(self.shape, np.dtype(np.uint64)).copy()
        return values

    def close(self) -> None:
        """Free the buffers."""
        self._resources.close()


class MagnitudeCounter(Closing):
    """Count the magnitudes of tensors in GPU memory, batch by batch, without waiting for any of them.

    Parameters
    ----------
    num_tensors : how many, in the order in which every batch gives them.
    stream : the stream that fills the tensors; counting is queued behind.
    device : CUDA device ordinal, the calling thread's current GPU.

    Raises
    ------
    MissingExtraError : cuda-python or NVRTC is not installed.
    OutOfMemoryError : the GPU has no room for the counts.
    ExecutionError : the kernels cannot be compiled or loaded.
    """

    def __init__(self, num_tensors: int, stream: Stream, *, device: int) -> None:
        self._num_tensors, self._stream = num_tensors, stream
        with ExitStack() as stack:
            defines = {"NUM_BINS": NUM_BINS, "BIN_BITS": BIN_BITS, "COPIES": _COPIES, "MAX_CUTS": MAX_CUTS}
            self._kernels = stack.enter_context(Kernels("magnitudes.cu", defines, device=device))
            self._num_processors = num_multiprocessors(device)
            self._columns: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
                "counts": (np.dtype(np.uint64), (num_tensors, NUM_BINS)),
                "num_zeros": (np.dtype(np.uint64), (num_tensors,)),
                "exponents": (np.dtype(np.int32), (num_tensors,)),
                "maxima": (np.dtype(np.uint32), (num_tensors,)),
            }
            self._state = {name: stack.enter_context(DeviceBuffer()) for name in self._columns}
            self._staging = stack.enter_context(PinnedBuffer())
            for name in self._columns:
                self._state[name].reserve(self._num_bytes(name))
                fill_with_zeros(self._state[name], self._num_bytes(name), stream)
            self._staging.reserve(self._num_bytes("counts"))
            self._staging.view((num_tensors,), np.dtype(np.int32))[:] = _EMPTY_EXPONENT
            copy_to_device(self._state["exponents"], self._staging, self._num_bytes("exponents"), stream)
            self._resources = stack.pop_all()

    def count(self, tensors: Sequence[Lying], groups: Sequence[int], findings: Findings) -> None:
        """Queue the counting of one batch.

        A group of rows in which any value is not finite adds nothing to any histogram; where a tensor that
        belongs to every row is not finite, no row does.

        Parameters
        ----------
        tensors : every tensor of the batch; they must stay as they are until the stream is done.
        groups : for each row the first row of its group.
        findings : buffers of the batch, which the stream is done with.

        Raises
        ------
        CalibrationError : a tensor's padding cannot be left out by the kernels.
        """
        stream, num_columns = self._stream, len(groups) + 1
        cells = self._num_tensors * num_columns
        self._send_tables(tuple(tensors), tuple(groups), findings)
        at_tensors, at_works, at_limits, at_groups = (
            pointer(findings.tables.address + offset) for offset in findings.offsets
        )
        # One buffer, zeroed at once: non-finite values, then largest magnitudes, then verdicts.
        findings.shape = (self._num_tensors, num_columns)
        num_bytes = cells * 12 + num_columns * 4
        findings.found.reserve(num_bytes)
        findings.staged_found.reserve(cells * 8)
        fill_with_zeros(findings.found, num_bytes, stream)
        nonfinite, largest, refused = (
            pointer(findings.found.address + offset) for offset in (0, cells * 8, cells * 12)
        )
        counts, zeros, exponents, maxima = (pointer(buffer.address) for buffer in self._state.values())
        columns, works = unsigned(num_columns), findings.num_works
        launch = self._kernels.launch
        given = (at_tensors, at_works, at_limits, columns)
        launch("scan", (*given, largest, nonfinite), stream, num_blocks=works, block_size=_BLOCK_SIZE)
        launch(
            "judge",
            (nonfinite, at_groups, unsigned(self._num_tensors), columns, refused),
            stream,
            num_blocks=1,
            block_size=_BLOCK_SIZE,
        )
        launch(
            "grow",
            (largest, refused, columns, counts, exponents, maxima),
            stream,
            num_blocks=self._num_tensors,
            block_size=_BLOCK_SIZE,
        )
        launch(
            "count",
            (*given, refused, exponents, counts, zeros),
            stream,
            num_blocks=works,
            block_size=_BLOCK_SIZE,
            shared_bytes=_SHARED_BYTES,
        )
        copy_to_host(findings.staged_found, findings.found, cells * 8, stream)

    def magnitudes(self) -> Magnitudes:
        """Wait for the stream and return all that was counted."""
        found: dict[str, NDArray[Any]] = {}
        for name, (dtype, shape) in self._columns.items():
            copy_to_host(self._staging, self._state[name], self._num_bytes(name), self._stream)
            self._stream.synchronize()
            found[name] = self._staging.view(shape, dtype).copy()
        return Magnitudes(
            counts=found["counts"].astype(np.int64),
            exponents=found["exponents"].astype(np.int64),
            num_zeros=found["num_zeros"].astype(np.int64),
            observed_max=found["maxima"].view(np.float32).astype(np.float64),
        )

    def close(self) -> None:
        """Unload the kernels and free the memory; the stream must be done."""
        self._resources.close()

    def _num_bytes(self, name: str) -> int:
        dtype, shape = self._columns[name]
        return int(np.prod(shape)) * dtype.itemsize

    def _send_tables(self, tensors: tuple[Lying, ...], groups: tuple[int, ...], findings: Findings) -> None:
        layout = (tensors, groups)
        if findings.layout == layout:
            return
        made = make_tables(tensors, len(groups), self._num_processors)
        arrays = [made.tensors, made.works, made.limits, np.array(groups, np.uint32)]
        # Each table begins on 16 bytes, so that none is read across a boundary of its alignment.
        sizes = [-(-array.nbytes // 16) * 16 for array in arrays]
        starts = np.concatenate(([0], np.cumsum(sizes))).tolist()
        findings.layout = None
        findings.tables.reserve(starts[-1])
        findings.staged_tables.reserve(starts[-1])
        staged = findings.staged_tables.view((starts[-1],), np.dtype(np.uint8))
        for array, start in zip(arrays, starts[:-1], strict=True):
            staged[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        copy_to_device(findings.tables, findings.staged_tables, starts[-1], self._stream)
        findings.offsets, findings.num_works = tuple(starts[:-1]), len(made.works)
        findings.layout = layout
