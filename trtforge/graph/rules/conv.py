"""``Conv``: input and weight, one scale for each output channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rules.verdicts import Layer, Refusal, View

if TYPE_CHECKING:
    import onnx


def judge_conv(node: onnx.NodeProto, view: View) -> Layer | Refusal:
    """Quantize the input, and the weight [output channels, input channels / groups, ...] along axis 0.

    Refuses a computed weight, and a constant input. Bias and output stay as they are.
    """
    if not view.is_constant(node.input[1]):
        return Refusal("its weight is computed")
    if view.is_constant(node.input[0]):
        return Refusal("its input is a constant")
    return Layer((node.input[0],), node.input[1], 0)
