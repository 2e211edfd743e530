"""Tell, inside a padded batch, which part of each activation belongs to which clip."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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


# Lengths whose shapes are kept beside those of a batch's own clips.
_KEPT_LENGTHS = 16


@dataclass(frozen=True)
class Part:
    """A view of one clip's share of an activation.

    Parameters
    ----------
    row : the clip's row in the batch; None where the activation is every clip's.
    values : the clip's share, without padding.
    axis : of the activation, on which the clips lie.
    """

    row: int | None
    values: Array
    axis: int = 0


class ClipParts:
    """Cut activations into one unpadded part for each clip.

    A clip's part has the shape that the network would give for that clip alone at its true length. That shape
    comes from ONNX shape inference on the network with the true length in place of the padded one, so it is
    exact for every stride, kernel, pooling and reshaping that inference follows. Where inference cannot tell,
    an axis is cut if it has the padded length of an axis that was inferred, to the true length of that axis;
    an activation with no such axis has no time axis, and is counted whole.

    Clips lie on the axis that inference finds longer for the batch than for one clip, such as the second of a
    recurrent layer, and on the first where it cannot tell. An activation that is the same for one clip and
    for many belongs to all of them.

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
        axes = time_axes(feed, self._dynamic_axes) if feed.num_frames else {}
        padded = next((feed.arrays[name].shape[axis] for name, axis in axes.items()), 0)
        whole = self._infer(feed, axes, num_rows, padded) if axes or num_rows > 1 else {}
        alone = {frames: self._infer(feed, axes, num_rows, frames) for frames in set(feed.num_frames)}
        result: dict[str, list[Part]] = {}
        for name, array in activations.items():
            axis = _clip_axis(array.shape, whole.get(name), num_rows)
            if axis is None:
                result[name] = [Part(None, array)]
                continue
            blocks = np.split(array, num_rows, axis)
            for row, frames in enumerate(feed.num_frames):
                shape = _true_shape(name, axis, blocks[row].shape, whole, alone[frames], {padded: frames})
                blocks[row] = blocks[row][tuple(map(slice, shape))]
            result[name] = [Part(row, block, axis) for row, block in enumerate(blocks)]
        return result

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
            # What a batch needs stays for its other segments; of all lengths, it would grow with the clips.
            while len(self._inferred) > num_rows + _KEPT_LENGTHS:
                del self._inferred[next(iter(self._inferred))]
            self._inferred[key] = self._inference.shapes(shapes)
        return self._inferred[key]


def time_axes(feed: Feed, dynamic_axes: Mapping[str, Collection[int]]) -> dict[str, int]:
    """Find the axes of a batch's inputs that true lengths are counted along, all of one padded length.

    Parameters
    ----------
    feed : the batch, with true lengths.
    dynamic_axes : input name to the axes that the network leaves open, as far as they are known.

    Returns
    -------
    Input name to axis. An input of another length, such as an embedding of the speaker, is absent.

    Raises
    ------
    InputError : no axis is certain.
    """
    longest, num_rows = max(feed.num_frames), len(feed.num_frames)
    shapes = {
        name: array.shape
        for name, array in feed.arrays.items()
        if array.ndim > 1 and array.shape[0] == num_rows
    }
    rules: tuple[Callable[[str, int], bool], ...] = (
        lambda name, axis: axis in dynamic_axes.get(name, ()),
        lambda name, axis: shapes[name][axis] == longest,
        lambda name, axis: True,
    )
    for fits in rules:
        fitting = {
            name: [axis for axis in range(1, len(shape)) if shape[axis] >= longest and fits(name, axis)]
            for name, shape in shapes.items()
        }
        certain = [shapes[name][axes[0]] for name, axes in fitting.items() if len(axes) == 1]
        if certain:
            padded = min(certain)
            of_length = {
                name: [axis for axis in axes if shapes[name][axis] == padded]
                for name, axes in fitting.items()
            }
            return {name: axes[0] for name, axes in of_length.items() if len(axes) == 1}
    told = ", ".join(f"{name} {list(array.shape)}" for name, array in feed.arrays.items())
    raise InputError(
        f"num_frames says that rows hold up to {longest} frames, and no axis of the inputs is certain to be "
        f"the one they lie on: {told}",
        hint="feed clips one by one, unpadded and without num_frames, or export the network with a dynamic "
        "time axis",
    )


def _true_shape(
    name: str,
    clip_axis: int,
    block: Shape,
    whole: Mapping[str, Shape],
    alone: Mapping[str, Shape],
    lengths: dict[int, int],
) -> Shape:
    shape = alone.get(name)
    if whole.get(name) == block and shape is not None and len(shape) == len(block):
        # Inference gives lengths below zero where a clip is shorter than what a layer looks at.
        return tuple(max(0, min(sizes)) for sizes in zip(shape, block, strict=True))
    for known in whole.keys() & alone.keys():
        for long, short in zip(whole[known], alone[known], strict=False):
            if short < long:
                lengths[long] = max(0, short, lengths.get(long, short))
    return tuple(
        size if axis == clip_axis else min(size, lengths.get(size, size)) for axis, size in enumerate(block)
    )


def _num_rows(feed: Feed) -> int:
    if feed.clip_ids and feed.num_frames and len(feed.clip_ids) != len(feed.num_frames):
        raise InputError(f"a feed names {len(feed.clip_ids)} clips and {len(feed.num_frames)} true lengths")
    if any(frames < 1 for frames in feed.num_frames):
        raise InputError(f"true lengths must be at least 1 frame, got {min(feed.num_frames)}")
    return len(feed.num_frames) or len(feed.clip_ids) or 1


def _clip_axis(shape: Shape, one: Shape | None, num_rows: int) -> int | None:
    """Return the axis on which the clips lie; None where the tensor is not divided among them.

    Parameters
    ----------
    shape : of the tensor.
    one : what inference says of it for one clip, None where it cannot tell.
    num_rows : number of clips.
    """
    if num_rows > 1 and one is not None and len(one) == len(shape):
        longer = [axis for axis, size in enumerate(shape) if size != one[axis]]
        if not longer:
            return None
        if len(longer) == 1 and shape[longer[0]] == num_rows * one[longer[0]]:
            return longer[0]
    return None if not shape or shape[0] == 0 or shape[0] % num_rows else 0
