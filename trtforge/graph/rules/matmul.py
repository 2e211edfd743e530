"""``MatMul``: activation and constant weight, or two activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rules.product_size import refuse_small
from trtforge.graph.rules.verdicts import Layer, Refusal, View

if TYPE_CHECKING:
    import onnx


def weight_of_matmul(node: onnx.NodeProto, view: View) -> Layer | Refusal:
    """Return both activations, or one and the constant right-hand side with the axis of its columns, 1.

    Refuses a constant left-hand side and a weight that has not 2 axes.
    """
    left, right = node.input
    if view.is_constant(left):
        return Refusal("its constant is not the right-hand side")
    if not view.is_constant(right):
        return Layer((left, right))
    dims = view.index.initializers[right].dims
    return Layer((left,), right, 1) if len(dims) == 2 else Refusal(f"its weight has {len(dims)} axes, not 2")


def judge_matmul(node: onnx.NodeProto, view: View) -> Layer | Refusal:
    """Quantize the left-hand side, and a constant right-hand side along axis 1, or both activations.

    A product of two activations, as in attention, is a `Layer` without weight: whether it is quantized is the
    user's choice. Refuses what `weight_of_matmul` does, and products too small to pay.
    """
    verdict = weight_of_matmul(node, view)
    if isinstance(verdict, Refusal):
        return verdict
    if verdict.weight is not None:
        depth, width = view.index.initializers[verdict.weight].dims
        return refuse_small(verdict, int(depth), int(width), view)
    right = node.input[1]
    if not view.is_float32(right):
        return Refusal("its second factor is not float32")
    rows, columns = (view.shape(right) or (None, None))[-2:] if _is_matrix(right, view) else (None, None)
    return refuse_small(verdict, rows, columns, view)


def _is_matrix(name: str, view: View) -> bool:
    return len(view.shape(name) or ()) >= 2
