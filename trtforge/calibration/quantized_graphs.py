"""Scales out of a network that carries Q/DQ pairs, as NVIDIA's ModelOpt and ONNX Runtime write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ScalesError
from trtforge.model import ModelSource, load_model, model_digest
from trtforge.scales import INT8_MAX, Scales, TensorScale

if TYPE_CHECKING:
    import onnx

# NVIDIA's own quantizers of 8-bit floats, as exported before ONNX had the type.
_FLOAT8_OPERATORS = ("TRT_FP8QuantizeLinear",)
_OPERATORS = ("QuantizeLinear", *_FLOAT8_OPERATORS)


def read_qdq_scales(model: ModelSource, model_sha256: str) -> Scales:
    """Read the INT8 scales of a quantized network's activations.

    The quantizers of weights, whose input is constant, are passed over: `trtforge.quantize` makes those of
    the network anew. A cast between a tensor and its quantizer is looked through, as networks converted to
    FP16 have one behind their input.

    Parameters
    ----------
    model : a network with ``QuantizeLinear`` nodes, or its path; graphs inside of nodes are not read.
    model_sha256 : digest of the network that was quantized, without Q/DQ pairs
        (`trtforge.model.model_digest`).

    Returns
    -------
    Scales by the names of the tensors that are quantized; the largest magnitude seen, which such a network
    does not hold, is taken to be ``amax``, the digest of the feeds is that of ``model``, and the number of
    clips is 0.

    Raises
    ------
    ScalesError : a quantizer is not INT8, not symmetric, not per tensor, or its scale is computed or out of
        range; two quantizers of a tensor differ; there is none.
    ModelError : the file is no network.
    """
    loaded = load_model(model)
    graph = loaded.graph
    constants = _constants(graph)
    casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    scales: dict[str, float] = {}
    for node in graph.node:
        if node.op_type not in _OPERATORS or node.input[0] in constants:
            continue
        name = node.input[0]
        while name in casts:
            name = casts[name]
        scale = _scale(node, name, constants)
        if scales.setdefault(name, scale) != scale:
            raise ScalesError(
                f"tensor {name!r} is quantized with two scales, {scales[name]:g} and {scale:g}",
                hint="quantize each tensor once; TensorRT takes one range for each",
            )
    if not scales:
        raise ScalesError(
            "the network quantizes no activation",
            hint="give the network with QuantizeLinear nodes, such as ModelOpt's output",
        )
    tensors = {name: TensorScale(scale * INT8_MAX, scale * INT8_MAX) for name, scale in scales.items()}
    return Scales(tensors, "qdq", model_sha256, model_digest(loaded), 0)


def _scale(node: onnx.NodeProto, name: str, constants: Mapping[str, Any]) -> float:
    import onnx

    kind = _kind(node, constants)
    if kind != onnx.TensorProto.INT8:
        raise ScalesError(f"tensor {name!r} is quantized to {_said(kind)}, not INT8", hint=_hint(kind))
    zero_point = _values(node, 2, name, constants)
    if zero_point.any():
        raise ScalesError(
            f"tensor {name!r} has the zero point {zero_point[zero_point != 0][0]:.0f}; "
            "TensorRT takes symmetric ranges only",
            hint="quantize activations symmetrically: ActivationSymmetric in ONNX Runtime",
        )
    values = _values(node, 1, name, constants)
    if values.size != 1:
        raise ScalesError(
            f"tensor {name!r} has {values.size} scales, one for each channel or block",
            hint="activations are quantized per tensor; only weights have more than one scale",
        )
    scale = float(values.ravel()[0])
    if not (np.isfinite(scale) and scale > 0):
        raise ScalesError(f"the scale of tensor {name!r} must be finite and positive, got {scale!r}")
    return scale


def _kind(node: onnx.NodeProto, constants: Mapping[str, Any]) -> int | None:
    """Return the ONNX data type that a node quantizes to; None where its zero point is computed."""
    import onnx

    if node.op_type in _FLOAT8_OPERATORS:
        return int(onnx.TensorProto.FLOAT8E4M3FN)
    if len(node.input) > 2 and node.input[2]:
        zero_point = constants.get(node.input[2])
        return None if zero_point is None else int(zero_point.data_type)
    # Without a zero point an attribute says it, and without that it is UINT8.
    given = [item.i for item in node.attribute if item.name == "output_dtype" and item.i]
    return int(given[0] if given else onnx.TensorProto.UINT8)


def _said(kind: int | None) -> str:
    import onnx

    return "a type that the network computes" if kind is None else onnx.TensorProto.DataType.Name(kind)


def _hint(kind: int | None) -> str:
    if kind is not None and _said(kind).startswith("FLOAT8"):
        return "an FP8 scale maps the largest magnitude to 448; calibrate the network for INT8"
    return "quantize activations to signed INT8: activation_type=QuantType.QInt8 in ONNX Runtime"


def _values(node: onnx.NodeProto, position: int, name: str, constants: Mapping[str, Any]) -> NDArray[Any]:
    import onnx

    if len(node.input) <= position or not node.input[position]:
        return np.zeros(1)  # only a zero point may be left out
    tensor = constants.get(node.input[position])
    if tensor is None:
        raise ScalesError(
            f"tensor {name!r} is quantized with a scale that the network computes as it runs",
            hint="dynamic quantization has no scales to read; calibrate the network",
        )
    return np.asarray(onnx.numpy_helper.to_array(tensor)).astype(np.float64)


def _constants(graph: onnx.GraphProto) -> dict[str, Any]:
    """Return constant tensors by name; None for what nodes make of them, whose values are not computed."""
    found: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = next(_tensors(node), None)
        elif node.input and all(name in found for name in node.input if name):
            found.update(dict.fromkeys(node.output))
    return found


def _tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    import onnx

    for item in node.attribute:
        if item.name == "value":
            yield item.t
        elif item.name == "value_float":
            yield onnx.numpy_helper.from_array(np.array(item.f, np.float32))
