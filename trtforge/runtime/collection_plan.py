"""Plan how feeds run on a GPU: which shapes the engine takes, and how many clips at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from trtforge.calibration.collect import check_feed, clip_ids_of
from trtforge.calibration.shape_inference import Shape, ShapeInference
from trtforge.errors import CalibrationError, OutOfMemoryError
from trtforge.feeds import Feeds
from trtforge.model import TensorSpec, model_inputs
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.runtime.device_batches import rows_per_clip
from trtforge.units import format_bytes

if TYPE_CHECKING:
    import onnx

# Enough to fill a GPU with most speech networks; more costs memory and gains little.
_ROWS = 16


@dataclass(frozen=True)
class CollectionPlan:
    """How feeds run.

    Parameters
    ----------
    profiles : the shapes that the engine takes; none where the network fixes them.
    max_rows : most rows of a batch.
    is_separable : whether feeds may be joined and cut between clips without changing what is counted.
    """

    profiles: tuple[OptimizationProfile, ...]
    max_rows: int
    is_separable: bool


def plan_collection(
    model: onnx.ModelProto,
    feeds: Feeds,
    observed: Sequence[str],
    *,
    max_batch: int | None,
    activation_bytes: int,
    item_share: float = 1.0,
) -> CollectionPlan:
    """Look at the feeds' shapes and decide.

    Where the network leaves other axes than the first open, all feeds are gone through once for their
    shapes; else the first feed says enough.

    Parameters
    ----------
    model, feeds, observed : as for `collect_on_gpu`.
    max_batch : most rows of a batch; by default 16, or as many as the largest feed has.
    activation_bytes : bound on the observed tensors of a batch.
    item_share : size of an observed value on the GPU over that in the network.

    Raises
    ------
    InputError : a feed does not fit the network.
    CalibrationError : there are no feeds.
    OutOfMemoryError : one clip's observed tensors exceed ``activation_bytes``.
    """
    inputs = model_inputs(model)
    specs = {spec.name: spec for spec in inputs}
    has_rows = all(spec.shape and isinstance(spec.shape[0], str) for spec in inputs)
    are_others_open = any(isinstance(size, str) for spec in inputs for size in spec.shape[has_rows:])
    shapes: dict[str, list[Shape]] = {spec.name: [] for spec in inputs}
    most_rows = most_needed = 1
    for index, feed in enumerate(feeds if are_others_open else islice(feeds, 1)):
        check_feed(specs, feed)
        for name, array in feed.arrays.items():
            shapes[name].append(array.shape)
        rows = max((array.shape[0] for array in feed.arrays.values() if array.ndim), default=1)
        most_rows = max(most_rows, rows)
        most_needed = max(most_needed, rows_per_clip(feed, len(clip_ids_of(feed, index))) or rows)
    if not shapes[inputs[0].name]:
        raise CalibrationError("the feeds hold no clips", hint="check that the clip set can be read")
    highest = {name: tuple(map(max, zip(*found, strict=True))) for name, found in shapes.items()}
    inference = ShapeInference(model)
    num_bytes = _observed_bytes(inference, highest, observed, 1 if has_rows else None) * item_share
    fitting = int(activation_bytes // num_bytes) if num_bytes else most_rows
    needed = most_needed if has_rows else 1
    if fitting < needed:
        wanted = format_bytes(int(num_bytes * needed))
        raise OutOfMemoryError(
            f"the {len(observed)} observed tensors of one clip take {wanted} of GPU memory, and "
            f"{format_bytes(activation_bytes)} are allowed",
            hint="raise activation_bytes, feed shorter clips, or collect on the CPU",
            settings=("activation_bytes", "collect_on"),
        )
    if not has_rows:
        return CollectionPlan(_profiles(inputs, shapes, None), most_rows, is_separable=False)
    is_separable = _is_separable(inference, highest, observed)
    max_rows = max(min(max_batch or max(_ROWS, most_rows), fitting), needed)
    if not is_separable:
        max_rows = max(max_rows, most_rows)
    return CollectionPlan(_profiles(inputs, shapes, max_rows), max_rows, is_separable)


def _observed_bytes(
    inference: ShapeInference, shapes: Mapping[str, Shape], observed: Sequence[str], rows: int | None
) -> int:
    sizes = inference.sizes(_with_rows(shapes, rows))
    return sum(sizes.get(name, 0) for name in observed)


def _is_separable(inference: ShapeInference, shapes: Mapping[str, Shape], observed: Sequence[str]) -> bool:
    """Say whether each observed tensor is known to have rows of its own for every clip."""
    one, two = (inference.shapes(_with_rows(shapes, rows)) for rows in (1, 2))
    return all(
        bool(one.get(name)) and two.get(name) == (2 * one[name][0], *one[name][1:]) for name in observed
    )


def _with_rows(shapes: Mapping[str, Shape], rows: int | None) -> dict[str, Shape]:
    return {name: shape if rows is None else (rows, *shape[1:]) for name, shape in shapes.items()}


def _profiles(
    inputs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[Shape]], max_rows: int | None
) -> tuple[OptimizationProfile, ...]:
    ranges = {}
    for spec in inputs:
        if not any(isinstance(size, str) for size in spec.shape):
            continue
        low, high = ([limit(sizes) for sizes in zip(*shapes[spec.name], strict=True)] for limit in (min, max))
        if max_rows is not None:
            low[0], high[0] = 1, max_rows
        ranges[spec.name] = ShapeRange(tuple(low), tuple(high), tuple(high))
    return (OptimizationProfile(ranges),) if ranges else ()
