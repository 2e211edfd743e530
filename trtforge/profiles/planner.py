"""Make optimization profiles from the lengths that an engine will meet."""

from __future__ import annotations

from collections.abc import Sequence

from trtforge.errors import ProfileError
from trtforge.model import TensorSpec
from trtforge.profiles.shapes import OptimizationProfile, ShapeRange


def plan_profiles(
    inputs: Sequence[TensorSpec],
    frame_counts: Sequence[int],
    *,
    max_batch: int = 8,
    multiple_of: int = 1,
) -> tuple[OptimizationProfile, ...]:
    """Make one profile that covers the given lengths.

    The first axis of an input, where dynamic, is taken as the batch and every other dynamic axis as time. The
    engine is tuned for a full batch at the length below which half of all frames lie, so that long clips,
    which cost most, weigh most.

    Parameters
    ----------
    inputs : the network's inputs (`trtforge.model.model_inputs`).
    frame_counts : lengths to cover, in frames of the network's input.
    max_batch : largest number of rows.
    multiple_of : the shortest length is rounded down, and the others up, to a multiple of this many frames.

    Returns
    -------
    No profile where every input is fixed, else one.

    Raises
    ------
    ProfileError : no lengths were given, or one is not positive.
    """
    if not frame_counts or min(frame_counts) < 1:
        least = min(frame_counts, default=None)
        raise ProfileError(
            f"frame counts must be positive, got {len(frame_counts)} of them, least {least}",
            settings=("frame_counts",),
        )
    if max_batch < 1 or multiple_of < 1:
        raise ProfileError(
            f"max_batch and multiple_of must be 1 or more, got {max_batch} and {multiple_of}",
            settings=("max_batch",) if max_batch < 1 else ("multiple_of",),
        )
    low = max(1, min(frame_counts) // multiple_of * multiple_of)
    opt, high = (
        -(-count // multiple_of) * multiple_of for count in (_typical(frame_counts), max(frame_counts))
    )
    lengths = {"min": low, "opt": opt, "max": high}
    batches = {"min": 1, "opt": max_batch, "max": max_batch}
    shapes = {
        spec.name: ShapeRange(
            *(
                tuple(
                    size if isinstance(size, int) else (lengths if axis else batches)[which]
                    for axis, size in enumerate(spec.shape)
                )
                for which in ("min", "opt", "max")
            )
        )
        for spec in inputs
        if any(isinstance(size, str) for size in spec.shape)
    }
    return (OptimizationProfile(shapes),) if shapes else ()


def _typical(frame_counts: Sequence[int]) -> int:
    half, seen = sum(frame_counts) / 2, 0
    for count in sorted(frame_counts):
        seen += count
        if seen >= half:
            return count
    raise AssertionError("unreachable: the counts sum to more than half of their sum")
