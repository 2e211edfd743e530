"""Store the weights of products in narrow integers, and compute in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from trtforge.errors import QuantizationError
from trtforge.graph.float16_range import MagnitudesByTensor
from trtforge.graph.index import GraphIndex, label
from trtforge.graph.names import first_reasons, match_nodes
from trtforge.graph.opset import raise_opset
from trtforge.graph.precision import to_float16
from trtforge.graph.rules.gemm import weight_of_gemm
from trtforge.graph.rules.matmul import weight_of_matmul
from trtforge.graph.rules.verdicts import NOT_FLOAT32, Layer, Refusal, View
from trtforge.graph.tensor_types import drop_inferable_types
from trtforge.graph.weight_blocks import quantize_blocks
from trtforge.graph.weights import naming_weight
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx

WeightType: TypeAlias = Literal["int8", "int4"]

_BITS = {"int8": 8, "int4": 4}
# Dequantizers of blocks, and INT4, came with it.
_OPSET = 21


@dataclass(frozen=True)
class WeightPlan:
    """Which weights are stored narrow, and why others are not.

    Parameters
    ----------
    weights : name of each weight to its blocked axis, the one that the product sums over.
    left_alone : products that keep their weight, by name, each with the reason.
    """

    weights: dict[str, int]
    left_alone: dict[str, str] = field(default_factory=dict)

    def require_weights(self) -> None:
        """Raise QuantizationError, with the first reasons, where no weight is stored narrow."""
        if not self.weights:
            raise QuantizationError(
                f"no product has a weight to store narrow{first_reasons(self.left_alone)}"
            )


def plan_weights(model: onnx.ModelProto, block_size: int, *, exclude: Sequence[str] = ()) -> WeightPlan:
    """Choose the weights of ``MatMul`` and ``Gemm`` whose summed axis divides into blocks.

    Parameters
    ----------
    model : a prepared float32 network, not changed.
    block_size : number of weights that share a scale.
    exclude : products to leave alone, by name, output or shell pattern.
    """
    view = View.of(model)
    excluded = match_nodes(view.index.nodes, exclude, asked="exclude")
    weights: dict[str, int] = {}
    left_alone: dict[str, str] = {}
    for node in view.index.nodes:
        if node.op_type not in ("MatMul", "Gemm") or node.domain:
            continue
        found = weight_of_gemm(node, view) if node.op_type == "Gemm" else weight_of_matmul(node, view)
        if not view.is_float32(node.input[0]):
            found = NOT_FLOAT32
        if isinstance(found, Layer) and found.weight is None:
            found = Refusal("it multiplies two activations")
        if isinstance(found, Layer) and node.output[0] in excluded:
            found = Refusal("excluded")
        if isinstance(found, Refusal):
            left_alone[label(node)] = found.reason
            continue
        assert found.weight is not None and found.axis is not None  # noqa: S101, PT018 - products with weights
        axis = 1 - found.axis
        size = view.index.initializers[found.weight].dims
        depth, width = size[axis], size[found.axis]
        if depth % block_size:
            left_alone[label(node)] = f"it is {depth} deep, which blocks of {block_size} do not divide"
        elif depth == block_size and width == 1:
            left_alone[label(node)] = "its weight is one block, which TensorRT-RTX does not read"
        elif weights.setdefault(found.weight, axis) != axis:
            left_alone[label(node)] = "its weight is read transposed by another"
    return WeightPlan(weights, left_alone)


def quantize_weights_only(
    model: onnx.ModelProto,
    dtype: WeightType = "int4",
    *,
    block_size: int = 64,
    rest: Literal["float16", "float32"] = "float16",
    exclude: Sequence[str] = (),
    keep_float32: Sequence[str] = (),
    magnitudes: MagnitudesByTensor | None = None,
) -> onnx.ModelProto:
    """Store the weights of products in blocks of INT8 or INT4, dequantized as they are read.

    For what is bound by reading weights, such as one step of a decoder, whatever the batch. No data is
    needed: activations stay as they are.

    Parameters
    ----------
    model : a prepared float32 network, not changed.
    dtype : ``int8`` or ``int4``.
    block_size : number of weights, along the summed axis, that share a scale; 16, 32, 64 or 128.
    rest : type of everything else, and of the scales.
    exclude : products to leave alone, by name, output or shell pattern.
    keep_float32, magnitudes : nodes to leave in FP32 where the rest is FP16, and what was observed of the
        tensors, which leaves further ones; see `to_float16`.

    Returns
    -------
    quantized : a network of opset 21; inputs and outputs keep names, dtypes and shapes.

    Raises
    ------
    QuantizationError : an argument is wrong, or no product has a weight that blocks divide.

    References
    ----------
    ONNX operator DequantizeLinear of opset 21, attribute ``block_size``.
    """
    import onnx

    if dtype not in _BITS or rest not in ("float16", "float32") or block_size not in (16, 32, 64, 128):
        raise QuantizationError(
            "weights are stored as 'int8' or 'int4' in blocks of 16, 32, 64 or 128, the rest as 'float16' or "
            f"'float32', got {dtype!r}, {block_size!r}, {rest!r}",
            settings=("dtype", "block_size", "rest"),
        )
    quantized = copy_model(model)
    quantized = raise_opset(quantized, _OPSET)
    plan = plan_weights(quantized, block_size, exclude=exclude)
    plan.require_weights()
    drop_inferable_types(quantized)
    index = GraphIndex(quantized.graph)
    scale_dtype = np.float16 if rest == "float16" else np.float32
    made: dict[str, onnx.NodeProto] = {}
    for name, axis in plan.weights.items():
        value = index.constant(name)
        assert value is not None  # noqa: S101 - the plan takes only weights that are initializers
        with naming_weight(name):
            blocks = quantize_blocks(value, axis, block_size, bits=_BITS[dtype], scale_dtype=scale_dtype)
        stored = index.new_name(f"{name}_quantized")
        scale = index.new_name(f"{name}_scale")
        quantized.graph.initializer.append(blocks.tensor(stored))
        wide = blocks.scale.astype(np.float32)
        quantized.graph.initializer.append(onnx.numpy_helper.from_array(wide, scale))
        output = index.new_name(f"{name}_dequantized")
        made[name] = onnx.helper.make_node(
            "DequantizeLinear", [stored, scale], [output], name=output, axis=axis, block_size=block_size
        )
    _read_instead(quantized.graph, made, plan)
    if rest == "float32":
        return quantized
    return to_float16(quantized, keep_float32=keep_float32, magnitudes=magnitudes)


def _read_instead(graph: onnx.GraphProto, made: dict[str, onnx.NodeProto], plan: WeightPlan) -> None:
    """Put each dequantizer before the first product that reads it, and drop weights that nothing reads."""
    ordered: list[onnx.NodeProto] = []
    placed: set[str] = set()
    for node in graph.node:
        weight = node.input[1] if node.op_type in ("MatMul", "Gemm") and not node.domain else ""
        if weight in made and label(node) not in plan.left_alone:
            if weight not in placed:
                placed.add(weight)
                ordered.append(made[weight])
            node.input[1] = made[weight].output[0]
        ordered.append(node)
    del graph.node[:]
    graph.node.extend(ordered)
    index = GraphIndex(graph)
    for position in reversed(range(len(graph.initializer))):
        name = graph.initializer[position].name
        if name in made and not index.consumers.get(name) and not index.is_exposed(name):
            del graph.initializer[position]
