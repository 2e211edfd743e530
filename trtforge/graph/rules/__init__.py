"""What TensorRT's placement rules say of each operator, one file each.

`LAYERS` judge the operators that multiply, `CARRIERS` name the tensors that have the scale of what is made of
them, and `judge_residual` judges additions. A rule reads the graph through a `View` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from trtforge.graph.rules.concat import carry_concat
from trtforge.graph.rules.conv import judge_conv
from trtforge.graph.rules.conv_transpose import judge_conv_transpose
from trtforge.graph.rules.gemm import judge_gemm
from trtforge.graph.rules.left_alone import judge_einsum, judge_recurrent
from trtforge.graph.rules.matmul import judge_matmul
from trtforge.graph.rules.pooling import carry_pooling
from trtforge.graph.rules.reshape import RESHAPES, carry_reshape
from trtforge.graph.rules.residual import judge_residual
from trtforge.graph.rules.verdicts import NOT_FLOAT32, Layer, Refusal, View

if TYPE_CHECKING:
    import onnx

LayerRule: TypeAlias = "Callable[[onnx.NodeProto, View], Layer | Refusal]"
CarrierRule: TypeAlias = "Callable[[onnx.NodeProto, View], tuple[str, ...]]"

LAYERS: dict[str, LayerRule] = {
    "Conv": judge_conv,
    "ConvTranspose": judge_conv_transpose,
    "Einsum": judge_einsum,
    "GRU": judge_recurrent,
    "Gemm": judge_gemm,
    "LSTM": judge_recurrent,
    "MatMul": judge_matmul,
    "RNN": judge_recurrent,
}
# Each returns the inputs whose scale is that of the output.
CARRIERS: dict[str, CarrierRule] = {
    "Concat": carry_concat,
    "MaxPool": carry_pooling,
    **dict.fromkeys(RESHAPES, carry_reshape),
}


def judge_layer(node: onnx.NodeProto, view: View) -> Layer | Refusal | None:
    """Apply the rule for a node's operator; None where no rule is concerned with it."""
    rule = LAYERS.get(node.op_type)
    if rule is None or node.domain:
        return None
    if not view.is_float32(node.input[0]):
        return NOT_FLOAT32
    return rule(node, view)


def carried_inputs(node: onnx.NodeProto, view: View) -> tuple[str, ...]:
    """Return the inputs that come out with their values unchanged; none where the operator computes."""
    rule = CARRIERS.get(node.op_type)
    return () if rule is None or node.domain else rule(node, view)


__all__ = [
    "CARRIERS",
    "LAYERS",
    "Layer",
    "Refusal",
    "View",
    "carried_inputs",
    "judge_layer",
    "judge_residual",
]
