"""How much each group costs, and in which order groups are better left in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trtforge.assignment.groups import LayerGroup
from trtforge.assignment.score import Score


@dataclass(frozen=True)
class Sensitivity:
    """What one group costs.

    Parameters
    ----------
    group : the group.
    share : its share of the multiply-accumulates of all groups.
    alone : score where this group alone is INT8.
    left_out : score where all but this group are INT8.
    """

    group: LayerGroup
    share: float
    alone: Score
    left_out: Score

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "group": self.group.name,
            "nodes": list(self.group.nodes),
            "macs": self.group.macs,
            "share": self.share,
            "alone": self.alone.to_json(),
            "left_out": self.left_out.to_json(),
        }


def rank(rows: Sequence[Sensitivity], everything: Score) -> tuple[str, ...]:
    """Order groups by the noise that each adds for its share of the work, the worst first.

    The noise of a group is the mean of two: what it makes alone, and what disappears from the whole where it
    is left out. Words would be a coarser guide: few clips tell no two groups apart by them.

    Parameters
    ----------
    rows : the groups.
    everything : score where all of them are INT8.

    Returns
    -------
    Their names; of equal ones the one that comes first in the graph.
    """

    def price(row: Sensitivity) -> float:
        saved = max(0.0, everything.noise - row.left_out.noise)
        return (row.alone.noise + saved) / 2 / max(row.share, 1e-12)

    order = sorted(range(len(rows)), key=lambda at: (-price(rows[at]), at))
    return tuple(rows[at].group.name for at in order)
