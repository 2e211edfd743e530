"""Quantized tensors that no layer reads as a layer should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trtforge.graph.index import QUANTIZERS, attribute, label
from trtforge.graph.linting.findings import LintFinding, Target
from trtforge.graph.linting.quantizers import MULTIPLIERS, Quantizers

if TYPE_CHECKING:
    import onnx

_READS_INT8 = MULTIPLIERS | QUANTIZERS | {"Add", "AveragePool", "Concat", "GlobalAveragePool"}


def check_readers(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    """Report pairs that no layer reads, layers that are quantized by half, and quantized biases."""
    biases = {layer.input[2] for layer in quantizers.layers() if len(layer.input) > 2}
    for node in quantizers.nodes:
        if node.op_type == "DequantizeLinear" and node.output[0] not in biases:
            yield from _read_by_none(node, quantizers)
    for layer in quantizers.layers():
        yield from _half(layer, quantizers)
        if len(layer.input) > 2 and quantizers.dequantizer(layer.input[2]) is not None:
            yield LintFinding(
                "quantized-bias",
                "warning",
                label(layer),
                f"the bias of {label(layer)!r} is quantized: kernels add it in floating point, and its "
                "rounding gains nothing",
                "leave the bias as it is",
            )


def _read_by_none(node: onnx.NodeProto, quantizers: Quantizers) -> Iterator[LintFinding]:
    readers = [reader for reader, _ in quantizers.readers(node.output[0])]
    if any(reader.op_type in _READS_INT8 for reader in readers):
        return
    read_by = ", ".join(sorted({reader.op_type for reader in readers})) or "nothing but the network's output"
    yield LintFinding(
        "no-quantized-reader",
        "warning",
        label(node),
        f"what {label(node)!r} gives is read by {read_by}, which computes in floating point: it is "
        "rounded and gains nothing",
        "remove the pair",
    )


def _half(layer: onnx.NodeProto, quantizers: Quantizers) -> Iterator[LintFinding]:
    found = [quantizers.dequantizer(name) for name in layer.input[:2]]
    if (found[0] is None) == (found[1] is None):
        return
    only = found[0] or found[1]
    assert only is not None  # noqa: S101 - one of the two is not None
    if found[0] is None and (quantizers.type_name(only) == "INT4" or attribute(only, "block_size", 0)):
        return  # weights alone, in blocks, are stored narrow on purpose
    what = "weight" if found[0] is None else "input"
    yield LintFinding(
        "half-quantized",
        "warning",
        label(layer),
        f"of {label(layer)!r} only the {what} is quantized: it multiplies in floating point",
        "quantize both, or neither",
    )
