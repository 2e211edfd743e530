"""``Gemm``: activation and constant weight, one scale for each column of the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import attribute
from trtforge.graph.rules.product_size import refuse_small
from trtforge.graph.rules.verdicts import Layer, Refusal, View

if TYPE_CHECKING:
    import onnx


def weight_of_gemm(node: onnx.NodeProto, view: View) -> Layer | Refusal:
    """Return A, and the constant weight B with the axis of its columns: 0 where it is transposed, else 1.

    Refuses two activations and a constant A.
    """
    if not view.is_constant(node.input[1]) or view.is_constant(node.input[0]):
        return Refusal("it does not multiply an activation by a constant")
    return Layer((node.input[0],), node.input[1], 0 if attribute(node, "transB", 0) else 1)


def judge_gemm(node: onnx.NodeProto, view: View) -> Layer | Refusal:
    """Quantize A, and the weight B along its columns.

    Refuses what `weight_of_gemm` does, a transposed A, an ``alpha`` other than 1, and products too small to
    pay. C is a bias and stays as it is.
    """
    verdict = weight_of_gemm(node, view)
    if isinstance(verdict, Refusal):
        return verdict
    if attribute(node, "alpha", 1.0) != 1.0:
        return Refusal("alpha is not 1: the factor would stand between the product and the next quantizer")
    if attribute(node, "transA", 0):
        return Refusal("its activation is transposed")
    dims = view.index.initializers[node.input[1]].dims
    depth, width = dims if verdict.axis == 1 else dims[::-1]
    return refuse_small(verdict, int(depth), int(width), view)
