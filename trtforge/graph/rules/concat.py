"""``Concat``: its inputs and its output have one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rules.verdicts import View

if TYPE_CHECKING:
    import onnx


def carry_concat(node: onnx.NodeProto, view: View) -> tuple[str, ...]:
    """Return the activations that are joined: with one scale no input needs rescaling to join the others."""
    return tuple(name for name in node.input if not view.is_constant(name))
