"""From a network and clips to INT8 ranges."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from trtforge._progress import OnProgress
from trtforge.calibration import Observations, cache_tensors, collect
from trtforge.calibration.collect import DEFAULT_ACTIVATION_BYTES
from trtforge.errors import CalibrationError, ConfigError
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.graph import (
    Attention,
    PlacementPlan,
    plan_placement,
    prepare,
    tensors_for_float16,
)
from trtforge.graph.index import GraphIndex
from trtforge.graph.infinities import infinite_tensors, logarithms_of_lengths
from trtforge.graph.names import first_reasons
from trtforge.model import ModelSource, load_model, model_digest
from trtforge.pipeline.range_choice import (
    AUTO,
    AutoMethod,
    check_auto_method,
    choose_ranges,
    refuse_zero_inputs,
)
from trtforge.pipeline.remarks import remark_quiet
from trtforge.runtime import collect_on_gpu
from trtforge.runtime.device_collection import require_collecting_gpu
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

CollectOn = Literal["cpu", "gpu"]
ObservedTensors = Literal["int8", "float16", "all", "cache"]


def observe(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    *,
    exclude: Sequence[str] = (),
    attention: Attention = "float",
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    collect_on: CollectOn = "cpu",
    tensors: ObservedTensors = "int8",
    on_progress: OnProgress | None = None,
) -> Observations:
    """Run a network over feeds and count the magnitudes of every tensor that INT8 would touch.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32.
    feeds : what it is run on, such as ``ClipSet.feeds(...)``, or a list of mappings of input name to array.
    exclude : names or shell patterns of nodes that stay unquantized.
    attention : ``int8`` observes what products of two activations read, too.
    activation_bytes : bound on the activations of one batch held at once, as for `trtforge.collect`; on a GPU
        the default stands for 40 % of its free memory.
    collect_on : ``cpu``, where ONNX Runtime runs the network, or ``gpu``, where TensorRT does
        (`trtforge.collect_on_gpu`).
    tensors : which tensors: ``int8``, those that quantization needs a range for; ``float16``, those that FP16
        would hold, so that `lower` can keep in FP32 what it cannot; ``all``, both; ``cache``, also every
        other activation that a complete calibration cache covers.
    on_progress : called with clips done and clips in all.

    Returns
    -------
    One histogram for each tensor; `trtforge.choose` makes `Scales` of them by any method.

    Raises
    ------
    ModelError : the network cannot be read or run.
    InputError : the feeds do not fit the network.
    QuantizationError : a name in ``exclude`` matches no node, or ``attention`` is none of its values.
    CalibrationError : nothing was observed, or too many activations are not finite.
    ConfigError : ``activation_bytes`` is below 1, or ``collect_on`` or ``tensors`` is none of its values.
    NoGpuError : the GPU was asked for where there is none.
    """
    check_collect_on(collect_on)
    source = load_model(model)
    prepared = prepare(source)
    names = _to_observe(prepared, tensors, exclude, attention)
    if collect_on == "gpu":
        return collect_on_gpu(
            prepared,
            as_feeds(feeds),
            names,
            activation_bytes=None if activation_bytes == DEFAULT_ACTIVATION_BYTES else activation_bytes,
            model_sha256=model_digest(source),
            on_progress=on_progress,
        )
    return collect(
        prepared,
        as_feeds(feeds),
        names,
        activation_bytes=activation_bytes,
        model_sha256=model_digest(source),
        on_progress=on_progress,
    )


def _to_observe(
    prepared: onnx.ModelProto, tensors: str, exclude: Sequence[str], attention: Attention
) -> tuple[str, ...]:
    if tensors not in get_args(ObservedTensors):
        raise ConfigError(
            f"tensors must be 'int8', 'float16', 'all' or 'cache', got {tensors!r}", settings=("tensors",)
        )
    wants_int8 = tensors != "float16"
    plan = plan_placement(prepared, exclude=exclude, attention=attention) if wants_int8 else PlacementPlan(())
    quantized = plan.tensors
    halved = tensors_for_float16(prepared) if tensors != "int8" else ()
    if not quantized and not halved:
        raise CalibrationError(
            f"the network has no tensor to observe for {tensors!r}{first_reasons(plan.left_alone)}",
            hint="networks are observed in FP32, before they are typed or quantized",
        )
    covered = _covered(prepared) if tensors == "cache" else ()
    return tuple(dict.fromkeys([*quantized, *halved, *covered]))


def _covered(prepared: onnx.ModelProto) -> tuple[str, ...]:
    index = GraphIndex(prepared.graph)
    infinite = infinite_tensors(index) | logarithms_of_lengths(index)
    return tuple(name for name in cache_tensors(prepared) if name not in infinite)


def check_collect_on(collect_on: str) -> None:
    """Refuse at once a place where activations cannot be counted.

    Raises
    ------
    ConfigError : it is neither ``cpu`` nor ``gpu``.
    NoGpuError : it is ``gpu``, and there is none.
    """
    if collect_on not in get_args(CollectOn):
        raise ConfigError(f"collect_on must be 'cpu' or 'gpu', got {collect_on!r}", settings=("collect_on",))
    if collect_on == "gpu":
        require_collecting_gpu()


def summarize_scales(scales: Scales) -> str:
    """Say in a few words what a calibration gave."""
    left_out = f", {len(scales.rejected)} left out" if scales.rejected else ""
    return f"{len(scales)} tensors on {scales.num_clips} clips, {scales.method}{left_out}"


def calibrate(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    *,
    method: AutoMethod = AUTO,
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    attention: Attention = "float",
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    collect_on: CollectOn = "cpu",
    on_progress: OnProgress | None = None,
) -> Scales:
    """Choose INT8 ranges for a network from feeds that stand for its future input.

    Parameters
    ----------
    model, feeds, exclude, attention, activation_bytes, collect_on, on_progress : as for `observe`.
    method : ``entropy``, ``percentile``, ``mse`` or ``max``; ``auto`` is ``entropy``, or, where that gives
        tensors a range that costs more than another would, whichever of ``entropy``, ``mse`` and ``max``
        keeps the outputs nearest to FP32's on some of the feeds. ``method`` of the scales says which it was.
    percentile : share of the magnitudes kept, in percent; for ``percentile`` alone.

    Raises
    ------
    ModelError, InputError, QuantizationError, CalibrationError, NoGpuError : as for `observe`.
    ConfigError : the method is unknown, or as for `observe`.

    Warns
    -----
    RuntimeWarning : clips were left out; ``rejected`` of the scales names them all.
    RuntimeWarning : the method gives tensors a range that costs far more than that of ``mse`` would; with
        ``auto``, what was taken instead.
    RuntimeWarning : clips lie below -60 dBFS from end to end; ``quiet`` of the feeds names them all.
    """
    check_auto_method(method, percentile)
    source, feeds = load_model(model), as_feeds(feeds)
    observations = observe(
        source,
        feeds,
        exclude=exclude,
        attention=attention,
        activation_bytes=activation_bytes,
        collect_on=collect_on,
        on_progress=on_progress,
    )
    refuse_zero_inputs(observations, source)
    if observations.rejected:
        clip, reason = next(iter(observations.rejected.items()))
        num_rejected = len(observations.rejected)
        warnings.warn(
            f"{num_rejected} of {observations.num_clips + num_rejected} clips were "
            f"left out of the calibration; the first is {clip!r}: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
    for remark in remark_quiet(getattr(feeds, "quiet", {}), len(feeds)):
        warnings.warn(remark, RuntimeWarning, stacklevel=2)
    chosen = choose_ranges(
        observations,
        source,
        feeds,
        method=method,
        percentile=percentile,
        exclude=exclude,
        attention=attention,
    )
    for remark in chosen.remarks:
        warnings.warn(remark, RuntimeWarning, stacklevel=2)
    return chosen.scales
