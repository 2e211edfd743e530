"""Find the tensors that infinite constants are written into, as masks of attention are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.index import GraphIndex, attribute
from trtforge.graph.rules.reshape import RESHAPES

if TYPE_CHECKING:
    import onnx

# What they give is infinite where what they read is; softmax gives NaN for a row that is masked throughout.
# fmt: off
_CARRY = RESHAPES | {
    "Add", "Cast", "Concat", "Expand", "Gather", "GatherElements", "GatherND", "LogSoftmax", "Mul", "Neg",
    "Pad", "ScatterElements", "ScatterND", "Slice", "Softmax", "Split", "Sub", "Sum", "Tile", "Trilu",
    "Where",
}
# fmt: on


def infinite_tensors(index: GraphIndex) -> set[str]:
    """Return the tensors that hold infinities, or NaN made of them, because the network writes them there.

    Matched are infinite constants and what carries them: choices, sums, products, changes of layout and
    softmax. Products of matrices are not among them: NaN in what attention gives is a fault.
    Refused are infinities that come in with a feed, or that arithmetic on finite numbers makes.

    Parameters
    ----------
    index : the graph.
    """
    found: set[str] = set()
    for node in index.nodes:
        carries = node.op_type in _CARRY and any(
            name in found or _is_infinite(name, index) for name in node.input
        )
        if not node.domain and (carries or _fills_with_infinity(node)):
            found.update(filter(None, node.output))
    return found


def _is_infinite(name: str, index: GraphIndex) -> bool:
    value = index.constant(name)
    return value is not None and value.dtype.kind == "f" and bool(np.isinf(value).any())


def _fills_with_infinity(node: onnx.NodeProto) -> bool:
    from onnx import numpy_helper

    value = attribute(node, "value") if node.op_type == "ConstantOfShape" else None
    return value is not None and bool(np.isinf(numpy_helper.to_array(value).astype(np.float64)).any())
