"""Time a network or an engine at a few lengths, for plans that count in milliseconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from trtforge._progress import OnProgress
from trtforge.engine import Engine
from trtforge.errors import ConfigError, ProfileError
from trtforge.feeds import Arrays
from trtforge.model import ModelSource, TensorSpec, load_model, model_inputs
from trtforge.pipeline.evaluation import is_engine_path, open_runner
from trtforge.profiles import MeasuredCost
from trtforge.profiles.symbols import profile_for_axes

_NUM_WARMUP = 2


def lengths_to_time(shortest: int, longest: int, *, num_points: int = 6, multiple_of: int = 8) -> list[int]:
    """Return lengths at even distances, for `measure_cost`.

    Parameters
    ----------
    shortest, longest : in frames; the ends, rounded up to ``multiple_of``.
    num_points : how many, 2 or more; fewer where they coincide.

    Raises
    ------
    ConfigError : a number is out of range, or both ends are one length.
    """
    if not (0 < shortest <= longest and num_points >= 2 and multiple_of >= 1):
        raise ConfigError(
            f"lengths to time lie between two ends, got {shortest}, {longest}, {num_points} points of "
            f"multiples of {multiple_of}",
            settings=("shortest", "longest", "num_points", "multiple_of"),
        )
    points = np.linspace(shortest, longest, num_points)
    found = sorted({int(-(-point // multiple_of) * multiple_of) for point in points})
    if len(found) < 2:
        raise ConfigError(
            f"all lengths are {found[0]} frames once aligned, and a cost is measured at two or more",
            hint="plan without measured costs: one length needs one profile, whatever it costs",
            settings=("shortest", "longest", "multiple_of"),
        )
    return found


def measure_cost(
    contender: ModelSource | Engine,
    lengths: Sequence[int],
    *,
    batch_size: int = 1,
    num_rounds: int = 5,
    num_threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> MeasuredCost:
    """Time inferences at a few lengths, and return the cost of an item as a curve through the times.

    All lengths take turns, so that a machine that slows down does so for all; the median over the rounds
    counts, divided by the rows of the batch. Inputs are noise; whole numbers are the length where they have
    one axis or none, as lengths have, and zeros elsewhere.

    Parameters
    ----------
    contender : a network or its path, run by ONNX Runtime on the CPU; or an engine or its path, run on the
        GPU here.
    lengths : in frames, two or more; the first axis of an input, where dynamic, is the batch, and every other
        dynamic axis is time, as `ProfilePlan.profiles` has it.
    batch_size : rows of each inference.
    num_rounds : timed inferences at each length, after two that are not.
    num_threads : threads of ONNX Runtime; all usable cores by default.
    on_progress : called with inferences done and inferences in all.

    Raises
    ------
    ConfigError : ``batch_size`` or ``num_rounds`` is below 1.
    ProfileError : fewer than two lengths, one below 1, no dynamic axis, or a length outside of the engine's
        profiles.
    ModelError : the network cannot be read or run.
    NoGpuError : an engine was given, and there is no GPU.
    """
    if batch_size < 1 or num_rounds < 1:
        raise ConfigError(
            f"batch_size and num_rounds must be 1 or more, got {batch_size} and {num_rounds}",
            settings=("batch_size", "num_rounds"),
        )
    wanted = sorted(set(lengths))
    if len(wanted) < 2 or wanted[0] < 1:
        raise ProfileError(f"a cost is measured at two lengths or more, each 1 or more, got {wanted}")
    source, inputs = _opened(contender)
    feeds = {length: _feed(inputs, batch_size, length) for length in wanted}
    times: dict[int, list[float]] = {length: [] for length in wanted}
    done, total = 0, len(wanted) * (_NUM_WARMUP + num_rounds)
    with ExitStack() as stack:
        run = open_runner(source, stack, num_threads=num_threads)
        for turn in range(-_NUM_WARMUP, num_rounds):
            for length, feed in feeds.items():
                begin = time.perf_counter_ns()
                run(feed)
                if turn >= 0:
                    times[length].append((time.perf_counter_ns() - begin) / 1e6)
                done += 1
                if on_progress is not None:
                    on_progress(done, total)
    return MeasuredCost([(length, statistics.median(found) / batch_size) for length, found in times.items()])


def _opened(contender: ModelSource | Engine) -> tuple[Any, tuple[TensorSpec, ...]]:
    if is_engine_path(contender):
        contender = Engine.load(contender)
    if isinstance(contender, Engine):
        return contender, contender.manifest.inputs
    network = load_model(contender)
    return network, model_inputs(network)


def _feed(inputs: Sequence[TensorSpec], batch_size: int, length: int) -> Arrays:
    profile = profile_for_axes(inputs, (batch_size,) * 3, (length,) * 3, {})
    if profile is None:
        raise ProfileError(
            f"every input has one shape ({'; '.join(map(str, inputs))}), so that every item costs the same",
            hint="plan without measured costs",
        )
    rng, feed = np.random.default_rng(0), dict[str, Any]()
    for spec in inputs:
        shape = profile.shapes[spec.name].opt if spec.name in profile.shapes else tuple(map(int, spec.shape))
        if np.issubdtype(np.dtype(spec.dtype), np.floating):
            feed[spec.name] = rng.standard_normal(shape, np.float32).astype(spec.dtype)
        else:
            feed[spec.name] = np.full(shape, length if len(shape) < 2 else 0, spec.dtype)
    return feed
