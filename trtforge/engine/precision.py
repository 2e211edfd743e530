"""Say what precision a network holds, and whether a library can build what was asked from it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from trtforge.calibration import Observations
from trtforge.engine.narrow_types import WEIGHT_ONLY
from trtforge.errors import CalibrationError, ConfigError, ModelError
from trtforge.graph import (
    MagnitudesByTensor,
    convolutions_in_2d,
    kept_float32,
    prepare,
    products_in_float16,
    quantize_weights_only,
    state_kernel_shapes,
    to_bfloat16,
    to_float16,
    with_constants_folded,
)
from trtforge.graph.index import QUANTIZERS
from trtforge.graph.tensor_types import infer_types
from trtforge.model import all_graphs, model_digest
from trtforge.nvidia import Flavor

if TYPE_CHECKING:
    import onnx

_COMPUTING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_HINTS = {
    "int8": "quantize the network first, by trtforge.quantize or the command trtforge quantize",
    "float8": "quantize the network to float8 first, by trtforge.quantize or the command trtforge quantize",
    "int8_weight_only": "pass the network as it was before it was quantized or typed",
    "int4_weight_only": "pass the network as it was before it was quantized or typed",
    "bfloat16": "pass the network as it was before it was quantized or typed, to a strongly typed library",
    "float16": "pass the network as it was before it was quantized or typed",
    "float32": "pass the network as it was before it was quantized or typed",
}


def network_precision(model: onnx.ModelProto) -> str:
    """Return the narrowest type that a network's weighty operators are written in.

    Parameters
    ----------
    model : the network.

    Returns
    -------
    ``int8`` or ``float8`` where there are Q/DQ nodes of that type, INT8 before FP8; ``int4_weight_only`` or
    ``int8_weight_only`` where only weights are dequantized, INT4 before INT8; else ``float16`` or
    ``bfloat16`` where a convolution or matrix product has such a weight, or an input is such; or, where none
    of them has a weight, where any operator but a cast writes such values; else ``float32``.
    """
    import onnx

    quantized: dict[int, str] = {
        onnx.TensorProto.FLOAT8E4M3FN: "float8",
        onnx.TensorProto.FLOAT8E5M2: "float8",
        onnx.TensorProto.INT4: "int4_weight_only",
    }
    halves: dict[int, str] = {onnx.TensorProto.FLOAT16: "float16", onnx.TensorProto.BFLOAT16: "bfloat16"}
    types: dict[str, int] = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    types.update({value.name: value.type.tensor_type.elem_type for value in model.graph.input})
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.HasField("t"):
                types[node.output[0]] = attribute.t.data_type
    read: set[int] = set()
    held: set[str] = set()
    for node in (node for graph in all_graphs(model.graph) for node in graph.node):
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            # A dequantizer without zero point reads what its own input is.
            tells = node.input[2] if len(node.input) > 2 else node.input[0]
            held.add(quantized.get(types.get(tells, 0), "int8"))
        if node.op_type in _COMPUTING:
            read.update(types[name] for name in node.input if name in types)
    if "int8" in held and not _dequantizes_weights_alone(model):
        return "int8"
    for narrow in ("float8", "int4_weight_only"):
        if narrow in held:
            return narrow
    if held:
        return "int8_weight_only"
    if not read & {onnx.TensorProto.FLOAT, *halves}:
        read = _types_written(model)
    return next((name for kind, name in halves.items() if kind in read), "float32")


def _types_written(model: onnx.ModelProto) -> set[int]:
    """Return the types of what operators other than casts give, as far as ONNX can infer them."""
    try:
        types = infer_types(model)
    except ModelError:
        return set()
    nodes = [node for node in model.graph.node if node.op_type not in ("Cast", "CastLike", "Constant")]
    return {types[name].elem_type for node in nodes for name in node.output if name in types}


def _dequantizes_weights_alone(model: onnx.ModelProto) -> bool:
    """Say whether nothing is quantized, and all that is dequantized are constants."""
    graphs = list(all_graphs(model.graph))
    constants = {tensor.name for graph in graphs for tensor in graph.initializer}
    nodes = [node for graph in graphs for node in graph.node]
    constants |= {node.output[0] for node in nodes if node.op_type == "Constant"}
    return not any(
        node.op_type == "QuantizeLinear"
        or (node.op_type == "DequantizeLinear" and node.input[0] not in constants)
        for node in nodes
    )


def agreed_precision(
    model: onnx.ModelProto, asked: str | None, flavor: Flavor, *, carrier: str | None = None
) -> str:
    """Return the precision to build in, or refuse what the network cannot give.

    Parameters
    ----------
    model : the network.
    asked : the precision, or None for the network's own.
    flavor : the library.
    carrier : the argument that INT8 scales would come from if the network has no Q/DQ nodes, or None.

    Raises
    ------
    ConfigError : the network holds another precision than was asked, and the library cannot make one of the
        other.
    """
    held = network_precision(model)
    if asked is None or asked == held:
        return held
    if (held, asked) == ("float32", "float16"):
        return asked
    if held == "float32" and flavor.strongly_typed_only and asked in ("bfloat16", *WEIGHT_ONLY):
        return asked
    if carrier is not None and (held, asked) == ("float32", "int8"):
        if flavor.has_calibrators:
            return "int8"
        raise ConfigError(
            f"precision 'int8' was asked of a network that holds 'float32', by {carrier}; {flavor} has no "
            "calibrators, TensorRT 8.6 and 10 have",
            hint=_HINTS["int8"],
            settings=("precision", carrier),
        )
    calibrates = flavor.has_calibrators and (held, asked) == ("float32", "int8")
    calibrate = "pass scales or feeds to build, " if calibrates else ""
    raise ConfigError(
        f"precision {asked!r} was asked of a network that holds {held!r}; {flavor} can only lower float32 to "
        f"{'float16 or bfloat16' if flavor.strongly_typed_only else 'float16'}",
        hint=f"{_HINTS[asked]}, {calibrate}or ask for precision {held!r}",
        settings=("precision", "scales", "feeds") if calibrates else ("precision",),
    )


def network_to_build(
    model: onnx.ModelProto,
    precision: str,
    flavor: Flavor,
    *,
    observations: Observations | None = None,
    block_size: int = 64,
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Return the network in the form that the library needs to be given for a precision.

    What depends on constants alone is computed. Libraries that run the types of the network get a float32
    network that is to become ``float16`` or ``bfloat16``, or to store its weights narrow, typed so by
    `trtforge.graph`; its inputs and outputs stay float32. Others, where they are to compute in FP16, get
    products of FP16 tensors in FP16, in place of casts of these tensors. TensorRT 8.6 gets 1-D convolutions
    as 2-D ones, and every kernel shape in words: it cannot read quantized ones otherwise, and its parser puts
    reshapes around each of the others. Only where it is to calibrate, or to read a calibration cache, they
    stay, since scales go by the names of those reshapes.

    Parameters
    ----------
    model : the network; not changed.
    precision : what `agreed_precision` returned.
    flavor : the library.
    observations : what was observed of the network's tensors, where it is to be typed ``float16``, or to
        compute so with narrow weights.
    block_size : number of weights that share a scale, where weights are stored narrow.

    Returns
    -------
    network : what to give to the parser.
    rewritten : what was done to it, as options of the manifest; empty where nothing was. ``constants`` says
        that some were computed, ``products`` that some are in FP16, ``typed`` is the type given here,
        ``block_size`` that of narrow weights, ``float32_nodes`` the nodes of a typed network that stay in
        FP32, with the reasons.

    Raises
    ------
    ModelError : the network's types contradict each other.
    QuantizationError : the dtype of a tensor cannot be inferred, or no weight can be stored narrow.
    CalibrationError : the observations belong to another network.
    ConfigError : there are observations, and the network is not typed FP16 here; or a quantizer has a scale
        in FP16, which the library does not take.

    Warns
    -----
    RuntimeWarning : the library runs the types of the network, and FP32 stands between its quantizers.
    """
    typed_here = (
        flavor.strongly_typed_only
        and precision in ("float16", "bfloat16", *WEIGHT_ONLY)
        and network_precision(model) == "float32"
    )
    if observations is not None and not (typed_here and precision != "bfloat16"):
        raise ConfigError(
            f"observations have no effect: {flavor} is not to type a float32 network float16 first",
            hint="leave observations out",
            settings=("observations",),
        )
    network = with_constants_folded(model)
    rewritten: dict[str, Any] = {} if network is model else {"constants": "computed"}
    if flavor.strongly_typed_only:
        if typed_here:
            prepared = prepare(network)
            magnitudes = observed_magnitudes(observations, model)
            if precision in WEIGHT_ONLY:
                stored = WEIGHT_ONLY[precision]
                network = quantize_weights_only(
                    prepared, stored, block_size=block_size, magnitudes=magnitudes
                )
                rewritten["block_size"] = block_size
            elif precision == "float16":
                network = to_float16(prepared, magnitudes=magnitudes)
            else:
                network = to_bfloat16(prepared)
            rewritten["typed"] = precision
        elif _scale_types(network) == {"FLOAT"}:
            warnings.warn(
                f"what the network does not quantize is FP32, and {flavor} runs it so, which takes time: "
                'quantize with rest="float16", trtforge quantize --rest float16',
                RuntimeWarning,
                stacklevel=2,
            )
        if kept := kept_float32(network):
            rewritten["float32_nodes"] = kept
        return network, rewritten
    if not flavor.has_half_scales and "FLOAT16" in _scale_types(network):
        raise ConfigError(
            f"{flavor} takes quantizers with FP32 scales alone, and the network has FP16 ones",
            hint='quantize with rest="float32", trtforge quantize --rest float32',
            settings=("rest",),
        )
    if precision == "float16" and (halved := products_in_float16(network)) is not network:
        network, rewritten = halved, {**rewritten, "products": "float16"}
    if flavor.reads_every_quantized_convolution:
        return network, rewritten
    stated = state_kernel_shapes(network)
    calibrates = precision == "int8" and network_precision(network) != "int8"
    if not calibrates and (lifted := convolutions_in_2d(stated)) is not stated:
        return lifted, {**rewritten, "convolutions": "2-D"}
    return stated, rewritten if stated is network else {**rewritten, "kernel_shapes": "stated"}


def _scale_types(model: onnx.ModelProto) -> set[str]:
    """Name the types of the constants that are scales of quantizers."""
    import onnx

    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    found = {types.get(node.input[1]) for node in model.graph.node if node.op_type in QUANTIZERS}
    return {onnx.TensorProto.DataType.Name(kind) for kind in found if kind is not None}


def observed_magnitudes(
    observations: Observations | None, source: onnx.ModelProto
) -> MagnitudesByTensor | None:
    """Return what was observed of a network's tensors; None where nothing was.

    Parameters
    ----------
    observations : of this network, or None.
    source : the network as it was observed, before it was prepared.

    Raises
    ------
    CalibrationError : the observations belong to another network.
    """
    if observations is None:
        return None
    if observations.model_sha256 != (digest := model_digest(source)):
        raise CalibrationError(
            f"the observations belong to another network: {observations.model_sha256[:12]}, this one is "
            f"{digest[:12]}",
            hint="observe this network; observations do not carry over, even after a small change",
            settings=("observations",),
        )
    return observations.tensors
