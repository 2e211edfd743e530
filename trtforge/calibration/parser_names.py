"""Predict the names that TensorRT 8.6's ONNX parser gives to the tensors it makes.

A tensor that comes straight from a node keeps its ONNX name. One that the parser makes on the way is called
by the position of its layer in the network and the layer's kind: ``(Unnamed Layer* 5) [Shuffle]_output``. To
know the position, every layer before it must be counted, those that only compute shapes among them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from trtforge.model import ModelSource, load_model

if TYPE_CHECKING:
    import onnx

# Layers of one node in order: the kind, and the position among the node's inputs ("0") or outputs ("out") of
# the tensor whose values the layer's result holds; None for shapes and constants. The result of the layer
# marked "own" is the node's output and has its ONNX name.
_Layers: TypeAlias = "list[tuple[str, str | None]]"
_Shape: TypeAlias = "tuple[int | None, ...] | None"

# Where an axis is dynamic, the new shape is computed in the network before it is used.
_EXPANDED_SHAPE: _Layers = [
    (kind, None) for kind in ("Shape", "Constant", "Concatenation", "Constant", "Gather")
]
_SQUEEZED_SHAPE: _Layers = [(kind, None) for kind in ("Constant", "Shape", "Gather")]

_ONE_LAYER = frozenset(
    {"Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Concat", "Cos", "Cosh", "Elu", "Erf",
     "Exp", "Floor", "HardSigmoid", "LeakyRelu", "Log", "Neg", "Relu", "Selu", "Sigmoid", "Sin", "Sinh",
     "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu", "Transpose"}
)  # fmt: skip
_ELEMENTWISE = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"})


def parser_names(model: ModelSource) -> dict[str, str]:
    """Predict TensorRT 8.6's name of every activation.

    Where TensorRT is at hand, building from `trtforge.scales.Scales` reads the names from the parsed network
    instead, which is exact for every operator and version.

    Parameters
    ----------
    model : a prepared float32 network or its path: constants folded, nodes in topological order.

    Returns
    -------
    TensorRT's name to the name of the ONNX tensor with the same values, in network order. After an operator
    whose layers are not known, positions cannot be counted: from there on only ONNX names are given, and a
    warning names the operator.

    Raises
    ------
    ModelError : the file is no network.

    References
    ----------
    NVIDIA and the ONNX authors, onnx-tensorrt, release 8.6: ``builtin_op_importers.cpp``,
    ``onnx2trt_utils.cpp``, ``ShapeTensor.cpp``.
    """
    import onnx

    inferred = onnx.shape_inference.infer_shapes(load_model(model)).graph
    constants = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for node in inferred.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            constants[node.output[0]] = tuple(attribute.t.dims)
    shapes: dict[str, _Shape] = {
        value.name: _shape(value) for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    shapes.update(constants)
    placed: set[str] = set()
    names = {value.name: value.name for value in inferred.input if value.name not in constants}
    position: int | None = 0
    for node in inferred.node:
        layers = _layers(node, shapes, constants, placed) if position is not None else None
        if layers is None and position is not None:
            _warn(node)
            position = None
        for kind, source in layers or ():
            if position is None:
                break
            if source in ("0", "out"):
                own = node.input[0] if source == "0" else node.output[0]
                names[f"(Unnamed Layer* {position}) [{kind}]_output"] = own
            position += 1
        names.update({name: name for name in node.output if name and name not in constants})
    return names


def _layers(
    node: onnx.NodeProto,
    shapes: dict[str, _Shape],
    constants: dict[str, tuple[int, ...]],
    placed: set[str],
) -> _Layers | None:
    """Return the layers of one node, or None where they are not known; note the constants it places."""
    if node.op_type == "Constant":
        return []
    inputs = [shapes.get(name) for name in node.input if name]
    if node.domain or any(shape is None for shape in inputs) or not inputs:
        return None
    builders: dict[str, Callable[[], _Layers | None]] = {
        "Conv": lambda: _spatial("Convolution", inputs, node, constants, shapes),
        "MaxPool": lambda: _spatial("Pooling", inputs, node, constants, shapes),
        "AveragePool": lambda: _spatial("Pooling", inputs, node, constants, shapes),
        "BatchNormalization": lambda: _scale(inputs, node, constants),
        "Gemm": lambda: _gemm(node, inputs, constants, placed),
        "Reshape": lambda: _reshape(node, inputs, constants, shapes),
    }
    if node.op_type in builders:
        return builders[node.op_type]()
    if node.op_type in _ONE_LAYER:
        return [*_constant_layers(node, constants, placed), (node.op_type, "own")]
    if node.op_type in _ELEMENTWISE or node.op_type == "MatMul":
        return _broadcast(node, inputs, constants, placed)
    return None


def _spatial(
    kind: str,
    inputs: Sequence[_Shape],
    node: onnx.NodeProto,
    constants: dict[str, tuple[int, ...]],
    shapes: dict[str, _Shape],
) -> _Layers | None:
    """1-D convolution and pooling run as 2-D ones, between two reshapes."""
    if node.input[0] in constants or not all(name in constants for name in node.input[1:] if name):
        return None
    if len(inputs[0] or ()) != 3:
        return [(kind, "own")]
    before = _EXPANDED_SHAPE if _is_dynamic(inputs[0]) else []
    after = _SQUEEZED_SHAPE if _is_dynamic(shapes.get(node.output[0])) else []
    return [*before, ("Shuffle", "0"), (kind, "out"), *after, ("Shuffle", "own")]


def _scale(
    inputs: Sequence[_Shape], node: onnx.NodeProto, constants: dict[str, tuple[int, ...]]
) -> _Layers | None:
    """Batch normalisation with constant statistics is one Scale layer, of rank 4 or 5."""
    if not all(name in constants for name in node.input[1:]) or len(inputs[0] or ()) not in (3, 4, 5):
        return None
    if len(inputs[0] or ()) != 3:
        return [("Scale", "own")]
    before, after = (_EXPANDED_SHAPE, [("Shape", None)]) if _is_dynamic(inputs[0]) else ([], [])
    return [*before, ("Shuffle", "0"), ("Scale", "out"), ("Shuffle", "own"), *after]


def _gemm(
    node: onnx.NodeProto,
    inputs: Sequence[_Shape],
    constants: dict[str, tuple[int, ...]],
    placed: set[str],
) -> _Layers | None:
    """Multiply, and add the bias, whose constant is reshaped to rank 2."""
    scaled = any(item.name in ("alpha", "beta") and item.f != 1 for item in node.attribute)
    if scaled or node.input[0] in constants or not all(name in constants for name in node.input[1:]):
        return None
    product: _Layers = [*_constant_layers(node, constants, placed, only=node.input[1])]
    if len(node.input) == 2:
        return [*product, ("Matrix Multiply", "own")]
    bias = _constant_layers(node, constants, placed, only=node.input[2])
    reshape: _Layers = [("Shuffle", None)] if len(inputs[2] or ()) < 2 else []
    return [*product, ("Matrix Multiply", None), *bias, *reshape, ("ElementWise", "own")]


def _reshape(
    node: onnx.NodeProto,
    inputs: Sequence[_Shape],
    constants: dict[str, tuple[int, ...]],
    shapes: dict[str, _Shape],
) -> _Layers | None:
    """One layer where every size is known; where not, the new shape takes layers that are not predicted."""
    known = node.input[1] in constants and node.input[0] not in constants
    if not known or _is_dynamic(inputs[0]) or _is_dynamic(shapes.get(node.output[0])):
        return None
    return [("Shuffle", "own")]


def _broadcast(
    node: onnx.NodeProto,
    inputs: Sequence[_Shape],
    constants: dict[str, tuple[int, ...]],
    placed: set[str],
) -> _Layers | None:
    """Constants become layers; one of lower rank is reshaped to the rank of the other."""
    if len(inputs) != 2:
        return None
    rank = max(len(shape or ()) for shape in inputs)
    placing: _Layers = []
    reshaping: _Layers = []
    for name, shape in zip(node.input, inputs, strict=True):
        lower = len(shape or ()) < rank
        if lower and name not in constants:
            return None
        own = _constant_layers(node, constants, placed, only=name)
        reshape: _Layers = [("Shuffle", None)] if lower else []
        if node.op_type == "MatMul":
            placing, reshaping = placing + own, reshaping + reshape
        else:
            placing += own + reshape
    kind = "Matrix Multiply" if node.op_type == "MatMul" else "ElementWise"
    return [*placing, *reshaping, (kind, "own")]


def _constant_layers(
    node: onnx.NodeProto,
    constants: dict[str, tuple[int, ...]],
    placed: set[str],
    *,
    only: str | None = None,
) -> _Layers:
    """Return a layer for each constant input that no earlier node has placed."""
    fresh = [
        name
        for name in dict.fromkeys(node.input)
        if name in constants and name not in placed and only in (None, name)
    ]
    placed.update(fresh)
    return [("Constant", None) for _ in fresh]


def _is_dynamic(shape: _Shape) -> bool:
    return shape is None or None in shape


def _shape(value: onnx.ValueInfoProto) -> _Shape:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(int(axis.dim_value) if axis.HasField("dim_value") else None for axis in kind.shape.dim)


def _warn(node: onnx.NodeProto) -> None:
    warnings.warn(
        f"the names that TensorRT 8.6 makes from node {node.name or node.output[0]!r} ({node.op_type}) on "
        "cannot be predicted, so that 1-D convolutions behind it may not run in INT8; build from the scales "
        "with TensorRT at hand, which reads the names",
        RuntimeWarning,
        stacklevel=3,
    )
