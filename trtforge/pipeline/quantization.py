"""From a network and clips to INT8 ranges, and from those to a quantized network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from trtforge._progress import OnProgress
from trtforge.assignment import Assignment
from trtforge.calibration import Method, Observations, cache_tensors, choose, collect
from trtforge.calibration.collect import DEFAULT_ACTIVATION_BYTES
from trtforge.engine.precision import observed_magnitudes
from trtforge.errors import CalibrationError, ConfigError, ScalesError, TrtforgeError
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.graph import (
    Attention,
    KeepFloat,
    PlacementPlan,
    QuantizedTo,
    WeightType,
    plan_placement,
    prepare,
    quantize_graph,
    quantize_weights_only,
    tensors_for_float16,
    tensors_to_observe,
    to_bfloat16,
    to_float16,
)
from trtforge.graph.names import first_reasons
from trtforge.graph.precision import require_float32
from trtforge.model import ModelSource, load_model, model_digest, model_inputs
from trtforge.nvidia import Flavor, select
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
    covered = cache_tensors(prepared) if tensors == "cache" else ()
    return tuple(dict.fromkeys([*quantized, *halved, *covered]))


def scales_from(
    observations: Observations,
    model: ModelSource,
    *,
    method: Method = "entropy",
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    attention: Attention = "float",
) -> Scales:
    """Choose the ranges of those observed tensors that INT8 touches.

    Parameters
    ----------
    observations : what `observe` counted, of whichever tensors.
    model, exclude, attention : as given to `observe`.
    method, percentile : as for `calibrate`.

    Raises
    ------
    ConfigError : the method is unknown, or ``percentile`` is out of range.
    CalibrationError : a tensor was not observed, or the input was nothing but zeros.
    """
    source = load_model(model)
    _refuse_zero_inputs(observations, source)
    names = tensors_to_observe(prepare(source), exclude=exclude, attention=attention)
    return choose(observations.only(names), method, percentile=percentile)


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
    method: Method = "entropy",
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
    method : ``entropy``, ``percentile``, ``mse`` or ``max``.
    percentile : share of the magnitudes kept, in percent; for ``percentile`` alone.

    Raises
    ------
    ModelError, InputError, QuantizationError, CalibrationError, NoGpuError : as for `observe`.
    ConfigError : the method is unknown, or as for `observe`.

    Warns
    -----
    RuntimeWarning : clips were left out; ``rejected`` of the scales names them all.
    """
    source = load_model(model)
    observations = observe(
        source,
        feeds,
        exclude=exclude,
        attention=attention,
        activation_bytes=activation_bytes,
        collect_on=collect_on,
        on_progress=on_progress,
    )
    _refuse_zero_inputs(observations, source)
    if observations.rejected:
        clip, reason = next(iter(observations.rejected.items()))
        num_rejected = len(observations.rejected)
        warnings.warn(
            f"{num_rejected} of {observations.num_clips + num_rejected} clips were "
            f"left out of the calibration; the first is {clip!r}: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
    return choose(observations, method, percentile=percentile)


def quantize(
    model: ModelSource,
    scales: Scales,
    *,
    rest: Literal["float16", "float32"] | None = None,
    exclude: Sequence[str] = (),
    keep_float: KeepFloat = "none",
    attention: Attention = "float",
    keep_float32: Sequence[str] = (),
    observations: Observations | None = None,
    to: QuantizedTo = "int8",
    assignment: Assignment | None = None,
) -> onnx.ModelProto:
    """Write INT8 or FP8 into a network as Q/DQ pairs, where TensorRT fuses them.

    Parameters
    ----------
    model : the network that was calibrated, in FP32.
    scales : its ranges.
    rest : type of everything that is not INT8. Strongly typed libraries (TensorRT 11, TensorRT-RTX) run
        exactly what this says; TensorRT 8.6 and 10 take ``float32`` and choose FP16 by their builder flag. By
        default what the library takes that builds on this machine, ``float16`` where there is none.
    exclude : names or shell patterns of nodes that stay unquantized.
    keep_float : layers at the ends that stay unquantized: ``none``, ``first``, ``last`` or ``first_last``.
    attention : ``float`` leaves products of two activations in floating point, ``int8`` quantizes them; only
        for scales that were calibrated so.
    keep_float32 : names or shell patterns of nodes that stay in FP32 where the rest is FP16.
    observations : what `observe` counted; makers and readers of tensors that FP16 cannot hold then stay in
        FP32 too. `trtforge.graph.kept_float32` says which, and why.
    to : ``int8``, or ``float8`` for FP8 (E4M3): products alone, from the same ranges, for TensorRT 10 and
        later and TensorRT-RTX on compute capability 8.9 and above.
    assignment : what `trtforge.search` chose; the layers that it keeps in floating point are excluded too.

    Returns
    -------
    A new network; the one given is not changed. Its inputs and outputs keep their types.

    Raises
    ------
    ScalesError : the scales belong to another network, or one is missing.
    QuantizationError : the network has nothing that can be quantized, a name matches none of its nodes, or
        the assignment is of another network.
    CalibrationError : the observations belong to another network.
    ConfigError : ``keep_float32`` or ``observations`` was given where all of the rest is FP32 to the graph,
        and FP16 is the library's choice.
    """
    rest = rest or _rest_here(to)
    _refuse_without_half(rest, keep_float32, observations)
    source = load_model(model)
    digest = model_digest(source)
    if scales.model_sha256 != digest:
        raise ScalesError(
            f"the scales belong to another network: {scales.model_sha256[:12]}, this one is {digest[:12]}",
            hint="calibrate this network; scales do not carry over, even after a small change",
        )
    return quantize_graph(
        prepare(source),
        scales,
        rest=rest,
        exclude=[*exclude, *(assignment.exclude_for(digest) if assignment else ())],
        keep_float=keep_float,
        attention=attention,
        keep_float32=keep_float32,
        magnitudes=observed_magnitudes(observations, source),
        to=to,
    )


def _refuse_zero_inputs(observations: Observations, source: onnx.ModelProto) -> None:
    # One input of several may well be zero, as the caches of a streaming network are at first.
    names = [spec.name for spec in model_inputs(source) if spec.name in observations.tensors]
    if names and all(observations.tensors[name].observed_max == 0 for name in names):
        told = ", ".join(map(repr, names))
        raise CalibrationError(
            f"input {told} was nothing but zeros in all {observations.num_clips} clips",
            hint="listen to the clips: silence says nothing of the ranges that speech needs",
        )


def rest_for(flavor: Flavor) -> Literal["float16", "float32"]:
    """Return the type of what is not INT8 that a library wants in a quantized network."""
    return "float16" if flavor.strongly_typed_only else "float32"


def _rest_here(to: QuantizedTo) -> Literal["float16", "float32"]:
    if to == "float8":  # which those take alone that take FP16 beside
        return "float16"
    try:
        return rest_for(select())
    except TrtforgeError:
        return "float16"


def _refuse_without_half(rest: str, keep_float32: Sequence[str], observations: Observations | None) -> None:
    for setting, given in (("keep_float32", keep_float32), ("observations", observations)):
        if given and rest == "float32":
            raise ConfigError(
                f"{setting} needs rest='float16'; with 'float32' TensorRT chooses by itself what runs in "
                "FP16",
                hint=f"leave {setting} out, or quantize for a library that runs the types of the network",
                settings=(setting, "rest"),
            )


def quantize_weights(
    model: ModelSource,
    dtype: WeightType = "int4",
    *,
    block_size: int = 64,
    rest: Literal["float16", "float32"] = "float16",
    exclude: Sequence[str] = (),
    keep_float32: Sequence[str] = (),
    observations: Observations | None = None,
) -> onnx.ModelProto:
    """Store the weights of a network's products in blocks of INT8 or INT4, and compute in floating point.

    For what is bound by reading weights, such as one step of a decoder. No clips are needed. The network is
    for TensorRT 10 and later and TensorRT-RTX; INT4 is for compute capability 8.0 and above.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32.
    dtype : ``int8`` or ``int4``.
    block_size : number of weights, along the summed axis, that share a scale: 16, 32, 64 or 128.
    rest : type of everything else.
    exclude : names or shell patterns of products that keep their weights.
    keep_float32 : names or shell patterns of nodes that stay in FP32 where the rest is FP16.
    observations : as for `quantize`.

    Returns
    -------
    A new network of opset 21; the one given is not changed. Its inputs and outputs keep their types.

    Raises
    ------
    QuantizationError : an argument is wrong, a name matches no node, or no product has a weight that blocks
        divide.
    ModelError : the network cannot be read.
    CalibrationError, ConfigError : as for `quantize`.
    """
    _refuse_without_half(rest, keep_float32, observations)
    source = load_model(model)
    return quantize_weights_only(
        prepare(source),
        dtype,
        block_size=block_size,
        rest=rest,
        exclude=exclude,
        keep_float32=keep_float32,
        magnitudes=observed_magnitudes(observations, source),
    )


def lower(
    model: ModelSource,
    precision: Literal["float16", "bfloat16"] = "float16",
    *,
    keep_io: bool = True,
    keep_float32: Sequence[str] = (),
    observations: Observations | None = None,
) -> onnx.ModelProto:
    """Type a network in FP16 or BF16, with FP32 where numerics or the observed activations demand it.

    Strongly typed libraries (TensorRT 11, TensorRT-RTX) run exactly what this says.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32.
    precision : ``float16`` or ``bfloat16``.
    keep_io : whether inputs and outputs stay FP32.
    keep_float32 : names or shell patterns of nodes that stay in FP32.
    observations : what `observe` counted with ``tensors="float16"`` or ``"all"``; makers and readers of
        tensors that FP16 cannot hold then stay in FP32 too. BF16 holds them all.

    Returns
    -------
    A new network; the one given is not changed. `trtforge.graph.kept_float32` says which of its nodes stay in
    FP32, and why.

    Raises
    ------
    ModelError : the network cannot be read, or its types contradict each other.
    QuantizationError : the network has no FP32 tensor, a name matches no node, a tensor's dtype cannot be
        inferred, or a quantized network was to become BF16.
    CalibrationError : the observations belong to another network.
    ConfigError : the precision is none of those, or observations were given for BF16.
    """
    if precision not in ("float16", "bfloat16"):
        raise ConfigError(
            f"precision must be 'float16' or 'bfloat16', got {precision!r}", settings=("precision",)
        )
    if precision == "bfloat16" and observations is not None:
        raise ConfigError(
            "observations have no effect on bfloat16, which holds whatever FP32 holds",
            hint="leave observations out, or ask for float16",
            settings=("observations", "precision"),
        )
    source = load_model(model)
    prepared = prepare(source)
    require_float32(prepared)
    if precision == "bfloat16":
        return to_bfloat16(prepared, keep_io=keep_io, keep_float32=keep_float32)
    magnitudes = observed_magnitudes(observations, source)
    return to_float16(prepared, keep_io=keep_io, keep_float32=keep_float32, magnitudes=magnitudes)
