"""``MatMul``: activation and constant weight, or two activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rules.product_size import refuse_small
from trtforge.graph.rules.verdicts import Layer, Refusal, View

if TYPE_CHECKING:
    import onnx


def judge_matmul(node: onnx.NodeProto, view: View) -> Layer | Refusal:
    """Quantize the left-hand side, and a constant right-hand side along axis 1, or both activations.

    A product of two activations, as in attention, is a `Layer` without weight: whether it is quantized is the
    user's choice. Refuses a constant left-hand side, a weight that has not 2 axes, and products too small to
    pay.
    """
    left, right = node.input
    if view.is_constant(left):
        return Refusal("its constant is not the right-hand side")
    if not view.is_constant(right):
        if not view.is_float32(right):
            return Refusal("its second factor is not float32")
        depth, width = (view.shape(right) or (None, None))[-2:] if _is_matrix(right, view) else (None, None)
        return refuse_small(Layer((left, right)), depth, width, view)
    dims = view.index.initializers[right].dims
    if len(dims) != 2:
        return Refusal(f"its weight has {len(dims)} axes, not 2")
    return refuse_small(Layer((left,), right, 1), int(dims[0]), int(dims[1]), view)


def _is_matrix(name: str, view: View) -> bool:
    return len(view.shape(name) or ()) >= 2
