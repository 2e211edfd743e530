"""Rewrites of a graph that keep its numbers, one a file; each returns how many changes it made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trtforge.graph.rewrites.fold_batch_norm import fold_batch_norm
from trtforge.graph.rewrites.fold_constants import fold_constants
from trtforge.graph.rewrites.hoist_constants import hoist_constants
from trtforge.graph.rewrites.remove_no_ops import remove_no_ops
from trtforge.graph.rewrites.remove_unused import remove_unused

if TYPE_CHECKING:
    import onnx

# Each changes the model in place; they run in this order until none finds anything more to do.
REWRITES: tuple[Callable[[onnx.ModelProto], int], ...] = (fold_constants, fold_batch_norm, remove_no_ops)

__all__ = [
    "REWRITES",
    "fold_batch_norm",
    "fold_constants",
    "hoist_constants",
    "remove_no_ops",
    "remove_unused",
]
