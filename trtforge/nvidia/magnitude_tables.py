"""Lay out the tensors of a batch as the counting kernels read them: pure arrays, no GPU needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import CalibrationError

# Axes of one tensor that padding may end in.
MAX_CUTS = 4
DTYPES = {"float32": 0, "float16": 1, "bfloat16": 2}
_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

# As the structures of magnitudes.cu.
TENSOR = np.dtype(
    [
        ("address", np.uint64),
        ("row_values", np.uint64),
        ("dtype", np.uint32),
        ("num_cuts", np.uint32),
        ("stride", np.uint32, MAX_CUTS),
        ("size", np.uint32, MAX_CUTS),
    ]
)
WORK = np.dtype(
    [
        ("start", np.uint64),
        ("tensor", np.uint32),
        ("row", np.uint32),
        ("count", np.uint32),
        ("column", np.uint32),
    ]
)

# A piece is large enough that adding its counts to the total costs little beside making them.
_MIN_PIECE, _MAX_PIECE = 1 << 14, 1 << 20
_PIECES_PER_PROCESSOR = 16


@dataclass(frozen=True)
class Lying:
    """One tensor of a batch in GPU memory, contiguous, with the part of each clip that is no padding.

    Parameters
    ----------
    address : where it begins.
    dtype : ``float32``, ``float16`` or ``bfloat16``.
    shape : padding included.
    parts : for each clip its row and the shape of what is counted, from the origin of that clip's share;
        row None, alone, where the tensor belongs to every clip.
    """

    address: int
    dtype: str
    shape: tuple[int, ...]
    parts: tuple[tuple[int | None, tuple[int, ...]], ...]

    @property
    def num_bytes(self) -> int:
        """Size, padding included."""
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Tables:
    """What the kernels read for one batch.

    Parameters
    ----------
    tensors : `TENSOR` [num_tensors].
    works : `WORK` [num_pieces].
    limits : true sizes of the cut axes, uint32 [num_tensors, num_rows + 1, `MAX_CUTS`].
    """

    tensors: NDArray[Any]
    works: NDArray[Any]
    limits: NDArray[np.uint32]


def item_bytes(name: str, dtype: str) -> int:
    """Return the size of a value that can be counted.

    Raises
    ------
    CalibrationError : ``dtype`` is not one of them.
    """
    if dtype not in _ITEM_BYTES:
        raise CalibrationError(
            f"tensor {name!r} cannot be observed: on the GPU only {', '.join(_ITEM_BYTES)} can be, "
            f"got {dtype}"
        )
    return _ITEM_BYTES[dtype]


def make_tables(tensors: Sequence[Lying], num_rows: int, num_processors: int) -> Tables:
    """Write the tables of one batch.

    Parameters
    ----------
    tensors : in the order of the histograms.
    num_rows : clips of the batch.
    num_processors : multiprocessors of the GPU, among which the values are shared out.

    Raises
    ------
    CalibrationError : a tensor is cut along more axes than the kernels know, or is too large to be cut.
    """
    table = np.zeros(len(tensors), TENSOR)
    limits = np.zeros((len(tensors), num_rows + 1, MAX_CUTS), np.uint32)
    works = []
    total = sum(math.prod(tensor.shape) for tensor in tensors)
    piece = min(max(total // (num_processors * _PIECES_PER_PROCESSOR), _MIN_PIECE), _MAX_PIECE)
    piece -= piece % 1024
    for index, lying in enumerate(tensors):
        blocks = len(lying.parts)
        block = (lying.shape[0] // blocks, *lying.shape[1:]) if lying.shape else ()
        row_values = math.prod(block)
        cuts = [
            axis for axis in range(len(block)) if any(part[axis] < block[axis] for _, part in lying.parts)
        ]
        if len(cuts) > MAX_CUTS or (cuts and row_values >= 1 << 32):
            raise CalibrationError(
                f"a tensor of shape {list(lying.shape)} is padded along {len(cuts)} axes of {row_values} "
                f"values a clip; the GPU counts up to {MAX_CUTS} axes of fewer than {1 << 32}",
                hint="feed clips one by one, unpadded, or collect on the CPU",
            )
        entry = table[index]
        entry["address"], entry["row_values"] = lying.address, row_values
        entry["dtype"], entry["num_cuts"] = DTYPES[lying.dtype], len(cuts)
        for position, axis in enumerate(cuts):
            entry["stride"][position] = math.prod(block[axis + 1 :])
            entry["size"][position] = block[axis]
        for order, (row, part) in enumerate(lying.parts):
            column = num_rows if row is None else row
            limits[index, column, : len(cuts)] = [part[axis] for axis in cuts]
            starts = np.arange(0, row_values if math.prod(part) else 0, piece, dtype=np.uint64)
            work = np.zeros(len(starts), WORK)
            work["start"], work["tensor"], work["row"], work["column"] = starts, index, order, column
            work["count"] = np.minimum(np.uint64(row_values) - starts, np.uint64(piece))
            works.append(work)
    return Tables(table, np.concatenate(works) if works else np.zeros(0, WORK), limits)
