"""From a network and its INT8 ranges to a quantized network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from trtforge.assignment import Assignment
from trtforge.calibration import Observations
from trtforge.engine.narrow_types import WEIGHT_ONLY
from trtforge.engine.precision import observed_magnitudes
from trtforge.errors import ConfigError, ScalesError, TrtforgeError
from trtforge.graph import (
    Attention,
    KeepFloat,
    QuantizedTo,
    WeightType,
    plan_placement,
    prepare,
    quantize_graph,
    quantize_weights_only,
)
from trtforge.graph.weight_only import plan_weights
from trtforge.model import ModelSource, load_model, model_digest
from trtforge.nvidia import Flavor, select
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx


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
    check_scales(scales, digest)
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


def check_scales(scales: Scales, model_sha256: str) -> None:
    """Raise ScalesError where ranges belong to another network than the one of a digest."""
    if scales.model_sha256 != model_sha256:
        raise ScalesError(
            f"the scales belong to another network: {scales.model_sha256[:12]}, this one is "
            f"{model_sha256[:12]}",
            hint="calibrate this network; scales do not carry over, even after a small change",
        )


def check_has_layers(
    model: onnx.ModelProto,
    precision: str,
    *,
    exclude: Sequence[str] = (),
    keep_float: KeepFloat = "none",
    block_size: int = 64,
) -> None:
    """Refuse FP8 and narrow weights for a network without a product to give them to, before clips are run.

    Raises
    ------
    QuantizationError : there is none.
    """
    if precision == "float8":
        plan_placement(
            prepare(model), exclude=exclude, keep_float=keep_float, products_only=True
        ).require_layers()
    elif precision in WEIGHT_ONLY:
        plan_weights(prepare(model), block_size, exclude=exclude).require_weights()


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
