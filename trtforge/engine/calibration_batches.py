"""Cut feeds of many lengths into batches of the one shape that TensorRT calibrates at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import CalibrationError, InputError
from trtforge.feeds import Arrays, Feed, Feeds
from trtforge.model import TensorSpec

_FIXED = "TensorRT calibrates at one shape; feed arrays of that shape, or calibrate with trtforge.calibrate"


def batches_of_shape(
    feeds: Feeds, inputs: Sequence[TensorSpec], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[Arrays]:
    """Yield the feeds' rows as batches of the given shape, with no padding in them.

    A network with one input and one dynamic axis besides the batch has its clips cut along that axis: a long
    clip gives several rows, a remainder shorter than a row is left out, and a clip shorter than a row is
    repeated from its start until it fills it. Only true frames are used. Other networks must be fed arrays of
    the calibration shape. The last batch is filled up with the rows that it begins with.

    Parameters
    ----------
    feeds : the clips.
    inputs : the network's inputs.
    shapes : the shape of each input in a batch, batch first.

    Raises
    ------
    InputError : a feed does not fit the inputs.
    CalibrationError : a feed holds values that are not finite; the message names its clips.
    """
    rows: list[dict[str, NDArray[Any]]] = []
    axis = _time_axis(inputs)
    for feed in feeds:
        _check(feed, inputs)
        if all(feed.arrays[name].shape == shape for name, shape in shapes.items()) and axis is None:
            yield feed.arrays
            continue
        rows += _rows(feed, inputs, shapes, axis)
        size = shapes[inputs[0].name][0]
        while len(rows) >= size:
            yield _stack(rows[:size])
            del rows[:size]
    if rows:
        size = shapes[inputs[0].name][0]
        yield _stack([rows[index % len(rows)] for index in range(size)])


def _time_axis(inputs: Sequence[TensorSpec]) -> int | None:
    """Return the one dynamic axis besides the batch of a network's only input, or None."""
    if len(inputs) != 1:
        return None
    dynamic = [axis for axis, size in enumerate(inputs[0].shape) if axis > 0 and isinstance(size, str)]
    return dynamic[0] if len(dynamic) == 1 else None


def _check(feed: Feed, inputs: Sequence[TensorSpec]) -> None:
    wanted = sorted(spec.name for spec in inputs)
    if sorted(feed.arrays) != wanted:
        raise InputError(f"a feed names inputs {sorted(feed.arrays)}, the network takes {wanted}")
    for name, array in feed.arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            clips = ", ".join(feed.clip_ids) or "unnamed"
            raise CalibrationError(
                f"input {name!r} of clips {clips} holds values that are not finite",
                hint="leave these clips out",
            )


def _rows(
    feed: Feed, inputs: Sequence[TensorSpec], shapes: Mapping[str, tuple[int, ...]], axis: int | None
) -> Iterator[dict[str, NDArray[Any]]]:
    if len({len(feed.arrays[spec.name]) if feed.arrays[spec.name].ndim else 0 for spec in inputs}) != 1:
        raise InputError("a feed's inputs differ in their number of rows", hint=_FIXED)
    for row in range(len(feed.arrays[inputs[0].name])):
        arrays = {spec.name: feed.arrays[spec.name][row] for spec in inputs}
        if axis is None:
            yield {name: _fixed(name, array, shapes[name]) for name, array in arrays.items()}
            continue
        name, array = next(iter(arrays.items()))
        true = feed.num_frames[row] if feed.num_frames else array.shape[axis - 1]
        for piece in _pieces(array, axis - 1, true, shapes[name][axis]):
            yield {name: _fixed(name, piece, shapes[name])}


def _pieces(array: NDArray[Any], axis: int, true: int, length: int) -> Iterator[NDArray[Any]]:
    if true < 1:
        raise InputError("a clip without frames cannot be calibrated on", hint="leave it out")
    for start in range(0, max(true - length, 0) + 1, length):
        yield np.take(array, np.arange(start, start + length) % true, axis=axis)


def _fixed(name: str, row: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if row.shape != shape[1:]:
        raise InputError(
            f"a row of input {name!r} has shape {row.shape}, calibration runs at {shape[1:]}", hint=_FIXED
        )
    return row


def _stack(rows: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
