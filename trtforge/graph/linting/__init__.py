"""Explain each quantizer that would fail to build, compute other numbers, or keep layers from fusing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from trtforge.graph.linting.attention import check_attention
from trtforge.graph.linting.axes import check_axes
from trtforge.graph.linting.findings import LintFinding, Target
from trtforge.graph.linting.fusions import check_fusions
from trtforge.graph.linting.numbers import check_numbers
from trtforge.graph.linting.operators import check_operators
from trtforge.graph.linting.quantizers import Quantizers
from trtforge.graph.linting.readers import check_readers
from trtforge.graph.linting.scales import check_scales

if TYPE_CHECKING:
    import onnx

Check: TypeAlias = "Callable[[Quantizers, Target], Iterator[LintFinding]]"

# Each looks for one kind of fault in the whole graph.
CHECKS: tuple[Check, ...] = (
    check_operators,
    check_numbers,
    check_axes,
    check_scales,
    check_fusions,
    check_readers,
    check_attention,
)


def lint(model: onnx.ModelProto, target: Target | None = None) -> tuple[LintFinding, ...]:
    """Say what of a quantized network does not suit TensorRT, and what to do about it.

    Parameters
    ----------
    model : a network with ``QuantizeLinear`` and ``DequantizeLinear`` nodes, whoever placed them.
    target : the library it is meant for; by default one that has all that trtforge knows of.

    Returns
    -------
    findings : errors first, then warnings, each in graph order; empty where all is well. An error does not
        build, or computes other numbers than ONNX says; a warning builds, and loses time or accuracy.

    Raises
    ------
    ModelError : the graph's types contradict each other.

    References
    ----------
    NVIDIA, "TensorRT Developer Guide", sections "Explicit Quantization" and "Q/DQ Layer-Placement
    Recommendations".
    """
    quantizers = Quantizers.of(model)
    found = [finding for check in CHECKS for finding in check(quantizers, target or Target())]
    order = {node: position for position, node in enumerate(quantizers.labels)}
    found.sort(key=lambda finding: (finding.severity != "error", order.get(finding.node, -1)))
    return tuple(found)


__all__ = ["CHECKS", "LintFinding", "Quantizers", "Target", "lint"]
