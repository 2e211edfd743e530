"""``Gemm``: activation and constant weight, one scale for each column of the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import attribute
from trtforge.graph.rules.product_size import refuse_small
from trtforge.graph.rules.verdicts import Layer, Refusal, View

if TYPE_CHECKING:
    import onnx


def judge_gemm(node: onnx.NodeProto, view: View) -> Layer | Refusal:
    """Quantize A, and the weight B along axis 0 where it is transposed, else 1.

    Refuses two activations, a constant A, a transposed A, an ``alpha`` other than 1, and products too small
    to pay. C is a bias and stays as it is.
    """
    if not view.is_constant(node.input[1]) or view.is_constant(node.input[0]):
        return Refusal("it does not multiply an activation by a constant")
    if attribute(node, "alpha", 1.0) != 1.0:
        return Refusal("alpha is not 1: the factor would stand between the product and the next quantizer")
    if attribute(node, "transA", 0):
        return Refusal("its activation is transposed")
    transposed = bool(attribute(node, "transB", 0))
    rows, columns = view.index.initializers[node.input[1]].dims
    depth, width = (columns, rows) if transposed else (rows, columns)
    return refuse_small(
        Layer((node.input[0],), node.input[1], 0 if transposed else 1), int(depth), int(width), view
    )
