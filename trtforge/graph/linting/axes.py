"""Scales along an axis that no kernel has them along, or of a single block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trtforge.graph.index import attribute, label
from trtforge.graph.linting.findings import LintFinding, Target
from trtforge.graph.linting.quantizers import Quantizers, axis_of

if TYPE_CHECKING:
    import onnx


def check_axes(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    """Report single blocks, several scales of activations, and scales of weights not of output channels."""
    for node in quantizers.nodes:
        scale = quantizers.scale(node)
        if attribute(node, "block_size", 0) and scale is not None and scale.size == 1:
            yield LintFinding(
                "single-block",
                "error",
                label(node),
                f"{label(node)!r} works in blocks and has one, which TensorRT-RTX 1.7 refuses to read",
                "give it a scalar scale and no block_size, or leave the tensor in floating point",
            )
        if node.op_type != "QuantizeLinear" or scale is None or scale.size < 2:
            continue
        if not quantizers.is_of_weight(node):
            yield LintFinding(
                "activation-axis",
                "warning",
                label(node),
                f"{label(node)!r} gives an activation {scale.size} scales; kernels take one, and what reads "
                "it runs in floating point",
                "quantize activations per tensor",
            )
    for layer in quantizers.layers():
        dequantizer = quantizers.dequantizer(layer.input[1], through_moves=False)
        if dequantizer is None or not quantizers.is_of_weight(dequantizer):
            continue
        scale = quantizers.scale(dequantizer)
        if scale is None or scale.ndim != 1 or scale.size < 2:
            continue
        rank = len(quantizers.view.shape(layer.input[1]) or ())
        axis = axis_of(dequantizer) % rank if rank else axis_of(dequantizer)
        wanted = _output_axis(layer, rank)
        if wanted is not None and axis != wanted:
            yield LintFinding(
                "weight-axis",
                "warning",
                label(layer),
                f"the weight of {label(layer)!r} has scales along axis {axis}; its output channels lie along "
                f"axis {wanted}, and with others it runs in floating point",
                f"quantize the weight along axis {wanted}",
            )


def _output_axis(layer: onnx.NodeProto, rank: int) -> int | None:
    if layer.op_type == "Conv":
        return 0
    if layer.op_type == "ConvTranspose":
        # Groups share the axis, as the rule for the operator says.
        return 1 if attribute(layer, "group", 1) == 1 else None
    if layer.op_type == "Gemm":
        return 0 if attribute(layer, "transB", 0) else 1
    return rank - 1 if rank else None
