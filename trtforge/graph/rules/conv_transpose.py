"""``ConvTranspose``: input and weight, one scale for each output channel where it is not grouped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from trtforge.graph.index import attribute
from trtforge.graph.rules.conv import judge_conv
from trtforge.graph.rules.verdicts import Layer, Refusal, View

if TYPE_CHECKING:
    import onnx


def judge_conv_transpose(node: onnx.NodeProto, view: View) -> Layer | Refusal:
    """Quantize the input, and the weight [input channels, output channels / groups, ...] along axis 1.

    Axis 1 of a grouped transposed convolution is shared by the groups and is no axis of output channels: its
    weight gets one scale. Refuses what `judge_conv` does.
    """
    verdict = judge_conv(node, view)
    if isinstance(verdict, Refusal):
        return verdict
    return replace(verdict, axis=1 if attribute(node, "group", 1) == 1 else None)
