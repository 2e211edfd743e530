"""``Reshape`` and its kin: the scale of the input is that of the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rules.verdicts import View

if TYPE_CHECKING:
    import onnx

# All values of the input come out, in another order or under other axes. Slices and gathered rows are not
# among them: a part may have a far smaller range than the whole, and then deserves a scale of its own.
# fmt: off
RESHAPES = frozenset({
    "DepthToSpace", "Flatten", "Identity", "Reshape", "SpaceToDepth", "Squeeze", "Transpose", "Unsqueeze",
})
# fmt: on


def carry_reshape(node: onnx.NodeProto, view: View) -> tuple[str, ...]:
    """Return the tensor whose layout changes."""
    return (node.input[0],)
