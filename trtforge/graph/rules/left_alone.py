"""Layers that multiply, and that TensorRT has no INT8 for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rules.verdicts import Refusal, View

if TYPE_CHECKING:
    import onnx


def judge_recurrent(node: onnx.NodeProto, view: View) -> Refusal:
    """Refuse ``LSTM``, ``GRU`` and ``RNN``: their products are inside a loop that no quantizer reaches."""
    return Refusal("the products of a recurrent layer are inside its loop, where no quantizer can stand")


def judge_einsum(node: onnx.NodeProto, view: View) -> Refusal:
    """Refuse ``Einsum``: which axis of its weight is that of the output channels depends on the equation."""
    return Refusal("Einsum has no fixed axis of output channels; write it as MatMul")
