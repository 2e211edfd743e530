"""Run a network over a long input in windows and give its output as one stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ConfigError, InputError
from trtforge.speech.windows import Window, WindowPlan

# Input name to array, output name to array: `Session` and the reference runners are such.
Runner: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, NDArray[Any]]]


def stitch(
    runner: Runner,
    blocks: Iterable[NDArray[Any]],
    plan: WindowPlan,
    num_frames: int,
    *,
    input_name: str,
    output: str,
    output_axis: int = 1,
    max_batch: int = 1,
) -> Iterator[NDArray[Any]]:
    """Run a network in windows and yield its output as if the input had been whole.

    No more is kept than ``max_batch`` windows and a block of the input. Windows of one length are run
    together; only the last may differ from the others.

    Parameters
    ----------
    runner : a `Session`, `OnnxRunner` or `TorchRunner`; its input is ``[batch, ..., frames]``.
    blocks : the input in order, each ``[..., frames]`` of any number of frames.
    plan : the windows.
    num_frames : frames of all blocks together.
    input_name, output : what to feed and what to read.
    output_axis : axis of the output that is time, not its first, which is the batch.
    max_batch : most windows to run at a time.

    Returns
    -------
    Blocks of the output without the batch axis; time is the axis ``output_axis - 1``.

    Raises
    ------
    ConfigError : ``max_batch`` or ``output_axis`` is below 1.
    InputError : the blocks do not hold ``num_frames`` frames, or the output is missing or not as long as the
        plan's stride says.
    TrtforgeError : the runner failed.
    """
    if max_batch < 1 or output_axis < 1:
        raise ConfigError(
            f"max_batch and output_axis must be 1 or more, got {max_batch} and {output_axis}",
            settings=("max_batch",) if max_batch < 1 else ("output_axis",),
        )
    waiting: list[tuple[Window, NDArray[Any]]] = []

    def run() -> Iterator[NDArray[Any]]:
        outputs = runner({input_name: np.stack([frames for _, frames in waiting])})
        if output not in outputs:
            raise InputError(f"output {output!r} was asked for, the network gives {sorted(outputs)}")
        values = np.asarray(outputs[output])
        for row, (window, _) in enumerate(waiting):
            kept = _kept(values, row, window, plan, output_axis)
            if kept.shape[output_axis - 1]:
                yield kept
        waiting.clear()

    for window, frames in _cut(blocks, plan, num_frames):
        if waiting and waiting[0][1].shape != frames.shape:
            yield from run()
        waiting.append((window, frames))
        if len(waiting) == max_batch:
            yield from run()
    if waiting:
        yield from run()


def _cut(
    blocks: Iterable[NDArray[Any]], plan: WindowPlan, num_frames: int
) -> Iterator[tuple[Window, NDArray[Any]]]:
    """Yield each window with a copy of its frames; hold only what windows to come still need."""
    source = iter(blocks)
    held: NDArray[Any] | None = None
    begin = end = 0  # the frames held, counted over the whole
    for window in plan.windows(num_frames):
        pieces = [] if held is None else [held[..., window.start - begin :]]
        begin = window.start
        while end < window.stop:
            block = next(source, None)
            if block is None:
                raise InputError(f"{num_frames} frames were announced, {end} came")
            pieces.append(block[..., max(0, begin - end) :])
            end += block.shape[-1]
        held = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)
        yield window, held[..., : window.stop - window.start].copy()
    if end > num_frames or any(block.shape[-1] for block in source):
        raise InputError(f"{num_frames} frames were announced, more came")


def _kept(values: NDArray[Any], row: int, window: Window, plan: WindowPlan, output_axis: int) -> NDArray[Any]:
    before = window.start // plan.stride
    if values.ndim <= output_axis or row >= len(values):
        raise InputError(
            f"the output has shape {list(values.shape)}, wanted [batch, ...] with axis {output_axis} for time"
        )
    given, length = values.shape[output_axis], window.stop - window.start
    needed = (window.first if window.last is None else window.last) - before
    # Padding as long as kernels, or none at all, moves the count by what the margins span.
    slack = (abs(plan.left) + abs(plan.right)) / plan.stride + 1
    if given < needed or abs(given - length / plan.stride) > slack:
        raise InputError(
            f"a window of {length} frames gave {given} output frames, which does not fit a stride of "
            f"{plan.stride}",
            hint="take stride and margins from trtforge.graph.receptive_field",
        )
    last = given if window.last is None else needed
    kept = (slice(None),) * (output_axis - 1) + (slice(window.first - before, last),)
    part: NDArray[Any] = values[row][kept]
    return part
