"""Scales that differ where one is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.index import label
from trtforge.graph.linting.findings import LintFinding, Target
from trtforge.graph.linting.quantizers import Quantizers
from trtforge.graph.rules import carried_inputs

if TYPE_CHECKING:
    import onnx


def check_scales(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    """Report pairs of two scales, tensors quantized twice, and carried values that change their scale."""
    by_tensor: dict[str, list[onnx.NodeProto]] = {}
    for node in quantizers.nodes:
        if node.op_type == "QuantizeLinear":
            by_tensor.setdefault(node.input[0], []).append(node)
            continue
        source = quantizers.index.producer(node.input[0])
        if source is not None and source.op_type == "QuantizeLinear" and _differ(quantizers, source, node):
            yield LintFinding(
                "pair-of-two-scales",
                "warning",
                label(node),
                f"{label(node)!r} has another scale than {label(source)!r} before it: the two are no pair, "
                "and what is between them is multiplied by the ratio",
                "give both one scale",
            )
    for name, nodes in by_tensor.items():
        for other in nodes[1:]:
            if _differ(quantizers, nodes[0], other):
                yield LintFinding(
                    "tensor-of-two-scales",
                    "warning",
                    label(other),
                    f"{name!r} is quantized by {label(nodes[0])!r} and, with another scale, by "
                    f"{label(other)!r}: it is written twice",
                    "quantize it once, for all its readers",
                )
    for name, nodes in by_tensor.items():
        for carried in _carried(name, quantizers):
            for before in by_tensor.get(carried, ()):
                if _differ(quantizers, before, nodes[0]):
                    yield LintFinding(
                        "carried-scale",
                        "warning",
                        label(nodes[0]),
                        f"{label(nodes[0])!r} has another scale than {label(before)!r}, whose values it "
                        "carries: they are rescaled on the way",
                        "give both the larger scale",
                    )


def _differ(quantizers: Quantizers, one: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    first, second = quantizers.scale(one), quantizers.scale(other)
    return first is not None and second is not None and not np.array_equal(first, second, equal_nan=True)


def _carried(name: str, quantizers: Quantizers) -> list[str]:
    """Return the tensors whose values come to a tensor unchanged."""
    found: list[str] = []
    pending = [name]
    while pending:
        producer = quantizers.index.producer(pending.pop())
        if producer is None:
            continue
        for source in carried_inputs(producer, quantizers.view):
            if source not in found:
                found.append(source)
                pending.append(source)
    return found
