"""Cut a network into segments that run one after another, so that few activations are held at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

# Protobuf refuses messages of 2 GiB; half of that leaves room for everything but weights.
MAX_WEIGHT_BYTES = 1 << 30


@dataclass(frozen=True)
class Step:
    """A node as the planner sees it.

    Parameters
    ----------
    reads : activations it reads, network inputs and constants left out.
    makes : tensors it gives.
    weight_bytes : size of the constants it reads, in bytes.
    """

    reads: tuple[str, ...]
    makes: tuple[str, ...]
    weight_bytes: int = 0


@dataclass(frozen=True)
class Segment:
    """A run of consecutive nodes.

    Parameters
    ----------
    first, last : its nodes are ``first`` to ``last - 1``.
    takes : activations from earlier segments that it reads.
    gives : activations made in it that are observed or read later, in the order they are made.
    """

    first: int
    last: int
    takes: tuple[str, ...]
    gives: tuple[str, ...]


def plan_segments(
    steps: Sequence[Step],
    observed: Collection[str],
    num_bytes: Mapping[str, int],
    *,
    max_bytes: int,
    movable: Collection[str],
    max_weight_bytes: int = MAX_WEIGHT_BYTES,
) -> tuple[Segment, ...]:
    """Cut a network so that what each segment holds stays within a bound.

    A segment holds its observed tensors, what crosses into or over it from before, and what crosses out of
    it. From each cut, the furthest cut within the bound is found; of the cuts that keep at least half of the
    observed bytes this one would, the narrowest is taken, so that few bytes are carried and few fusions lost.

    Parameters
    ----------
    steps : the nodes in the order they run.
    observed : tensors to be given out, of those the steps make.
    num_bytes : size of each tensor; one without an entry is taken to be as large as the largest read by its
        node.
    max_bytes : bound on what is held at once.
    movable : tensors that may cross a cut.
    max_weight_bytes : bound on the constants of a segment.

    Returns
    -------
    Segments that cover all steps; one alone where everything fits. A segment exceeds a bound only where no
    cut would prevent it: around a single node, or where no tensor may cross.
    """
    flow = _Flow(steps, observed, num_bytes, movable)
    cuts = [0]
    while cuts[-1] < len(steps):
        cuts.append(flow.next_cut(cuts[-1], max_bytes, max_weight_bytes))
    return tuple(flow.segment(first, last) for first, last in pairwise(cuts) if first < last)


def held_bytes(
    segments: Sequence[Segment],
    steps: Sequence[Step],
    observed: Collection[str],
    num_bytes: Mapping[str, int],
) -> int:
    """Return the most that any of the segments holds, for these sizes of the tensors.

    Parameters
    ----------
    segments, steps, observed, num_bytes : as for `plan_segments`.
    """
    flow = _Flow(steps, observed, num_bytes, ())
    return max((flow.held_bytes(segment.first, segment.last) for segment in segments), default=0)


class _Flow:
    """Running totals over the steps, from which each possible segment is judged in constant time."""

    def __init__(
        self,
        steps: Sequence[Step],
        observed: Collection[str],
        num_bytes: Mapping[str, int],
        movable: Collection[str],
    ) -> None:
        self.steps = steps
        self.observed = set(observed)
        self.made_at = {name: at for at, step in enumerate(steps) for name in step.makes}
        self.last_read = {name: at for at, step in enumerate(steps) for name in step.reads}
        sizes = _complete(steps, num_bytes)
        # What crosses the cut before each step: bytes, those not observed, and how many may not.
        change, unobserved, blocked = ([0] * (len(steps) + 1) for _ in range(3))
        for name, read in self.last_read.items():
            made = self.made_at[name]
            change[made + 1] += sizes[name]
            change[read + 1] -= sizes[name]
            if name not in self.observed:
                unobserved[made + 1] += sizes[name]
                unobserved[read + 1] -= sizes[name]
            if name not in movable:
                blocked[made + 1] += 1
                blocked[read + 1] -= 1
        self.crossing = list(accumulate(change))
        self.unobserved_crossing = list(accumulate(unobserved))
        self.blocked = list(accumulate(blocked))
        counted = [sum(sizes[name] for name in step.makes if name in self.observed) for step in steps]
        self.observed_bytes = list(accumulate(counted, initial=0))
        self.weight_bytes = list(accumulate((step.weight_bytes for step in steps), initial=0))

    def next_cut(self, first: int, max_bytes: int, max_weight_bytes: int) -> int:
        ends = [end for end in range(first + 1, len(self.steps) + 1) if not self.blocked[end]]
        within = []
        for end in ends:
            if self.weight_bytes[end] - self.weight_bytes[first] > max_weight_bytes:
                break
            held = self.held_bytes(first, end)
            if held - self.unobserved_crossing[end] > max_bytes:
                break
            if held <= max_bytes:
                within.append(end)
        if not within:
            return ends[0]
        if within[-1] == len(self.steps):
            return within[-1]
        base = self.observed_bytes[first]
        half = (self.observed_bytes[within[-1]] - base) / 2
        # Where weights set the bound there may be nothing observed; the far half then counts in weights.
        weights = (self.weight_bytes[within[-1]] - self.weight_bytes[first]) / 2 if not half else 0
        worth = [
            end
            for end in within
            if self.observed_bytes[end] - base >= half
            and self.weight_bytes[end] - self.weight_bytes[first] >= weights
        ]
        return min(worth, key=lambda end: (self.crossing[end], -end))

    def held_bytes(self, first: int, last: int) -> int:
        observed = self.observed_bytes[last] - self.observed_bytes[first]
        return self.crossing[first] + observed + self.unobserved_crossing[last]

    def segment(self, first: int, last: int) -> Segment:
        inside = self.steps[first:last]
        takes = dict.fromkeys(name for step in inside for name in step.reads if self.made_at[name] < first)
        gives = [
            name
            for step in inside
            for name in step.makes
            if name in self.observed or self.last_read.get(name, -1) >= last
        ]
        return Segment(first, last, tuple(takes), tuple(gives))


def _complete(steps: Sequence[Step], num_bytes: Mapping[str, int]) -> dict[str, int]:
    sizes = dict(num_bytes)
    for step in steps:
        largest = max((sizes.get(name, 0) for name in step.reads), default=0)
        for name in step.makes:
            sizes.setdefault(name, largest)
    return sizes
