"""Tell, inside a padded batch, which part of each activation belongs to which clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge.calibration.shape_inference import Shape, ShapeInference
from trtforge.errors import InputError
from trtforge.feeds import Feed
from trtforge.model import model_inputs

if TYPE_CHECKING:
    import onnx

Array: TypeAlias = "NDArray[np.generic]"


@dataclass(frozen=True)
class Part:
    """A view of one clip's share of an activation, and the clip's row; None where it is every clip's."""

    row: int | None
    values: Array


class ClipParts:
    """Cut activations into one unpadded part for each clip.

    A clip's part has the shape that the network would give for that clip alone at its true length. That shape
    comes from ONNX shape inference on the network with the true length in place of the padded one, so it is
    exact for every stride, kernel, pooling and reshaping that inference follows. Where inference cannot tell,
    an axis is cut if it has the padded length of an axis that was inferred, to the true length of that axis;
    an activation with no such axis has no time axis, and is counted whole.

    Parameters
    ----------
    model : the network whose activations are cut.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._dynamic_axes = {
            spec.name: {axis for axis, size in enumerate(spec.shape) if isinstance(size, str)}
            for spec in model_inputs(model)
        }
        self._inference = ShapeInference(model)
        self._inferred: dict[tuple[tuple[str, Shape], ...], dict[str, Shape]] = {}

    def cut(self, feed: Feed, activations: Mapping[str, Array]) -> dict[str, list[Part]]:
        """Cut the activations of one batch.

        Parameters
        ----------
        feed : the batch; ``num_frames`` gives the true lengths.
        activations : tensor name to array.

        Raises
        ------
        InputError : the true lengths do not fit the arrays of the feed.
        """
        num_rows = _num_rows(feed)
        if not feed.num_frames:
            return {
                name: [Part(row, array[rows]) for row, rows in _blocks(array, num_rows)]
                for name, array in activations.items()
            }
        axes = self._time_axes(feed, num_rows)
        padded = max(feed.arrays[name].shape[axis] for name, axis in axes.items())
        whole = self._infer(feed, axes, num_rows, padded)
        alone = {frames: self._infer(feed, axes, num_rows, frames) for frames in set(feed.num_frames)}
        result: dict[str, list[Part]] = {}
        for name, array in activations.items():
            result[name] = []
            for row, rows in _blocks(array, num_rows):
                if row is None:
                    result[name].append(Part(None, array))
                    continue
                block, frames = array[rows], feed.num_frames[row]
                shape = _true_shape(name, block.shape, whole, alone[frames], {padded: frames})
                result[name].append(Part(row, block[tuple(slice(size) for size in shape)]))
        return result

    def _time_axes(self, feed: Feed, num_rows: int) -> dict[str, int]:
        longest = max(feed.num_frames)
        axes: dict[str, int] = {}
        for name, array in feed.arrays.items():
            if array.ndim < 2 or array.shape[0] != num_rows:
                continue
            fitting = [axis for axis in range(1, array.ndim) if array.shape[axis] >= longest]
            for candidates in (
                [axis for axis in fitting if axis in self._dynamic_axes.get(name, ())],
                [axis for axis in fitting if array.shape[axis] == longest],
                fitting,
            ):
                if len(candidates) == 1:
                    axes[name] = candidates[0]
                    break
        if not axes:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feed.arrays.items())
            raise InputError(
                f"num_frames says that rows hold up to {longest} frames, and no axis of the inputs is "
                f"certain to be the one they lie on: {shapes}",
                hint="export the network with a dynamic time axis, or feed clips one by one, unpadded",
            )
        return axes

    def _infer(self, feed: Feed, axes: Mapping[str, int], num_rows: int, frames: int) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        for name, array in feed.arrays.items():
            shape = list(array.shape)
            if shape and shape[0] == num_rows:
                shape[0] = 1
            if name in axes:
                shape[axes[name]] = frames
            shapes[name] = tuple(shape)
        key = tuple(sorted(shapes.items()))
        if key not in self._inferred:
            self._inferred[key] = self._inference.shapes(shapes)
        return self._inferred[key]


def _true_shape(
    name: str, block: Shape, whole: Mapping[str, Shape], alone: Mapping[str, Shape], lengths: dict[int, int]
) -> Shape:
    shape = alone.get(name)
    if whole.get(name) == block and shape is not None and len(shape) == len(block):
        return tuple(map(min, shape, block))
    for known in whole.keys() & alone.keys():
        for long, short in zip(whole[known], alone[known], strict=False):
            if short < long:
                lengths[long] = max(short, lengths.get(long, short))
    return (block[0], *(min(size, lengths.get(size, size)) for size in block[1:]))


def _num_rows(feed: Feed) -> int:
    if feed.clip_ids and feed.num_frames and len(feed.clip_ids) != len(feed.num_frames):
        raise InputError(f"a feed names {len(feed.clip_ids)} clips and {len(feed.num_frames)} true lengths")
    if any(frames < 1 for frames in feed.num_frames):
        raise InputError(f"true lengths must be at least 1 frame, got {min(feed.num_frames)}")
    return len(feed.num_frames) or len(feed.clip_ids) or 1


def _blocks(array: Array, num_rows: int) -> list[tuple[int | None, slice]]:
    # A tensor that does not divide among the clips belongs to all of them.
    if array.ndim == 0 or array.shape[0] == 0 or array.shape[0] % num_rows:
        return [(None, slice(None))] if array.ndim else [(None, ...)]  # type: ignore[list-item]
    block = array.shape[0] // num_rows
    return [(row, slice(row * block, (row + 1) * block)) for row in range(num_rows)]
