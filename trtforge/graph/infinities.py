"""Find the tensors that infinite or very large constants are written into, as masks of attention are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trtforge.graph.index import GraphIndex, attribute
from trtforge.graph.rules.reshape import RESHAPES

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    Marks = Callable[[NDArray[Any]], bool]

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
    return _written(index, _holds_infinity, carriers=_CARRY, writers=_CARRY)


def overflowing_tensors(index: GraphIndex, overflow: float) -> set[str]:
    """Return the tensors that the network writes finite constants into which a type cannot hold.

    Matched are such constants, products by one, and what carries them, as for `infinite_tensors`, up to a
    further product or a softmax, which may give small numbers. A row masked throughout by the least FP32
    number has a softmax; masked by infinity, as a smaller type would have it, it has none.

    Parameters
    ----------
    index : the graph.
    overflow : the least magnitude that the type rounds to infinity.
    """

    def is_beyond(value: NDArray[Any]) -> bool:
        largest = max(float(value.max(initial=0)), -float(value.min(initial=0)))
        if not math.isfinite(largest):
            largest = float(np.abs(value[np.isfinite(value)]).max(initial=0))
        return largest >= overflow

    carriers = _CARRY - {"LogSoftmax", "Mul", "Softmax"}
    return _written(index, is_beyond, carriers=carriers, writers=carriers | {"Mul"})


def logarithms_of_lengths(index: GraphIndex) -> set[str]:
    """Return what logarithms make of shapes and constants alone, which is infinite for a distance of none.

    Such are the buckets of distances in T5 and WavLM. A choice leaves the infinities out in the end.

    Parameters
    ----------
    index : the graph.
    """
    lengths: set[str] = set()
    found: set[str] = set()
    for node in index.nodes:
        read = [name for name in node.input if name and index.constant(name) is None]
        if node.domain or not (node.op_type in ("Shape", "Size") or (read and lengths.issuperset(read))):
            continue
        lengths.update(filter(None, node.output))
        if node.op_type == "Log" or not found.isdisjoint(read):
            found.update(filter(None, node.output))
    return found


def _written(
    index: GraphIndex, is_marked: Marks, *, carriers: frozenset[str], writers: frozenset[str]
) -> set[str]:
    found: set[str] = set()
    for node in index.nodes:
        carries = node.op_type in carriers and not found.isdisjoint(node.input)
        writes = node.op_type in writers and any(
            _is_marked(index.constant(name), is_marked) for name in node.input
        )
        if not node.domain and (carries or writes or _fills_with(node, is_marked)):
            found.update(filter(None, node.output))
    return found


def _is_marked(value: NDArray[np.generic] | None, is_marked: Marks) -> bool:
    return value is not None and value.dtype.kind == "f" and is_marked(value)


def _fills_with(node: onnx.NodeProto, is_marked: Marks) -> bool:
    from onnx import numpy_helper

    value = attribute(node, "value") if node.op_type == "ConstantOfShape" else None
    return value is not None and _is_marked(numpy_helper.to_array(value), is_marked)


def _holds_infinity(value: NDArray[Any]) -> bool:
    return bool(np.isinf(value).any())
