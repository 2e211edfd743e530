"""``Attention`` for which the library has no fused kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trtforge.graph.index import attribute, label
from trtforge.graph.linting.findings import LintFinding, Target
from trtforge.graph.linting.quantizers import Quantizers

if TYPE_CHECKING:
    import onnx


def check_attention(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    """Report attention in FP32, and heads narrower or wider than any that a kernel takes.

    Says nothing of heads whose width is not known, or of libraries of which it is not known what they take.
    """
    sizes = target.attention_head_sizes
    if sizes is None:
        return
    for node in quantizers.index.nodes:
        if node.op_type != "Attention" or node.domain:
            continue
        size, remedy = _head_size(node, quantizers), "build with trtforge, which takes it apart"
        if quantizers.view.is_float32(node.input[0]):
            what, remedy = "in FP32", f"type it FP16, or {remedy}"
        elif size is not None and size not in sizes:
            what = f"with heads {size} wide"
        else:
            continue
        yield LintFinding(
            "attention-without-kernel",
            "warning",
            label(node),
            f"{label(node)!r} is an Attention {what}, and {target.name} has kernels for FP16 and BF16, heads "
            f"{sizes.start} to {sizes.stop - 1} wide",
            remedy,
        )


def _head_size(node: onnx.NodeProto, quantizers: Quantizers) -> int | None:
    shape = quantizers.view.shape(node.input[0])
    if not shape or not isinstance(shape[-1], int):
        return None
    return shape[-1] if len(shape) == 4 else shape[-1] // max(1, attribute(node, "q_num_heads", 1))
