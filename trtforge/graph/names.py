"""Select nodes by name or pattern."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from trtforge.errors import QuantizationError
from trtforge.graph.index import label

if TYPE_CHECKING:
    import onnx


def match_nodes(nodes: Iterable[onnx.NodeProto], patterns: Sequence[str], *, asked: str) -> set[str]:
    """Return the first output of each node that a pattern names.

    Parameters
    ----------
    nodes : the nodes to select from.
    patterns : names or shell patterns (``blocks.3.*``), each set against a node's name and its outputs.
        What is a name as it stands is no pattern, whatever brackets it has.
    asked : the argument that the patterns came in, for the error message.

    Raises
    ------
    QuantizationError : a pattern names no node, or a single string was given for the list.
    """
    if isinstance(patterns, str):
        raise QuantizationError(f"{asked} takes a list of names, got the string {patterns!r}")
    nodes = list(nodes)
    known = [(name, node.output[0]) for node in nodes if node.output for name in (node.name, *node.output)]
    matched: set[str] = set()
    for pattern in patterns:
        hits = {made for name, made in known if name == pattern}
        hits = hits or {made for name, made in known if name and fnmatchcase(name, pattern)}
        if not hits:
            raise QuantizationError(
                f"{asked} names {pattern!r}, which matches none of the {len(nodes)} nodes",
                hint=f"nodes are known by their name or their output tensor; {_nearest(nodes, pattern)}",
                settings=(asked,),
            )
        matched |= hits
    return matched


def first_reasons(left_alone: Mapping[str, str]) -> str:
    """Return why the first nodes are left alone, to be read behind a message; empty where there are none."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left_alone.items())[:3])
    return f": {reasons}" if reasons else ""


def _nearest(nodes: Sequence[onnx.NodeProto], pattern: str) -> str:
    """Name the nodes that may have been meant, or a few where none is near."""
    known = dict.fromkeys(name for node in nodes for name in (node.name, *node.output) if name)
    if near := difflib.get_close_matches(pattern, known, n=3, cutoff=0.4):
        return f"the nearest are {', '.join(map(repr, near))}"
    return f"the first ones are {', '.join(repr(label(node)) for node in nodes[:5])}"
