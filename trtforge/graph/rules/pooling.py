"""``MaxPool``: the scale of its input is that of its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rules.verdicts import View

if TYPE_CHECKING:
    import onnx


def carry_pooling(node: onnx.NodeProto, view: View) -> tuple[str, ...]:
    """Return the input: the largest of some INT8 values is one of them.

    An average is not: ``AveragePool`` and ``GlobalAveragePool`` compute, in floating point, and what reads
    them has a scale of its own.
    """
    return (node.input[0],)
