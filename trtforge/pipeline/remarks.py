"""What the reader of a compilation's figures must know beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from trtforge.accuracy import AccuracyReport
from trtforge.audio import ClipSet, Features
from trtforge.model import TensorSpec
from trtforge.profiles import OptimizationProfile
from trtforge.scales import Scales
from trtforge.units import format_level, num_samples

_MOST_NAMES = 3
_MISSED = {"calibration": "the ranges that speech needs", "evaluated": "how speech is recognised"}


def remark_engine_not_run(accuracy: AccuracyReport) -> list[str]:
    """Say so where the figures are those of networks in ONNX Runtime alone."""
    if any(name.endswith(" engine") for name in accuracy.runners):
        return []
    return ["The figures are those of the networks in ONNX Runtime: the engine itself was not run here."]


def remark_clips_outside(
    clips: ClipSet,
    features: Features,
    inputs: Sequence[TensorSpec],
    profiles: Sequence[OptimizationProfile],
) -> list[str]:
    """Count the clips that the engine would refuse for their length.

    Parameters
    ----------
    clips : those that were evaluated.
    features : what turns them into input; time is the last axis.
    inputs : the network's.
    profiles : the engine's.
    """
    name = inputs[0].name
    ranges = [profile.shapes[name] for profile in profiles if name in profile.shapes]
    if not ranges:
        return []
    lengths = [
        features.num_frames(num_samples(duration, features.sampling_rate)) for duration in clips.durations()
    ]
    outside = [
        length for length in lengths if not any(each.min[-1] <= length <= each.max[-1] for each in ranges)
    ]
    if not outside:
        return []
    low, high = min(each.min[-1] for each in ranges), max(each.max[-1] for each in ranges)
    span = str(outside[0]) if len(set(outside)) == 1 else f"{min(outside)} to {max(outside)}"
    return [
        f"{len(outside)} of {len(lengths)} evaluated clips lie outside the engine's profiles, which take "
        f"{low} to {high} frames: they have {span}, and the engine would refuse them."
    ]


def remark_clips_in_both(calibration_set: ClipSet | None, test_set: ClipSet) -> list[str]:
    """Count the clips that were evaluated and calibrated on, by their audio."""
    heard = {clip.sha256 for clip in calibration_set or ()}
    num_both = sum(clip.sha256 in heard for clip in test_set)
    if not num_both:
        return []
    return [
        f"{num_both} of {len(test_set)} evaluated clips were calibrated on too: what INT8 costs on other "
        "speech may be more. Evaluate on other speakers and sentences."
    ]


def remark_quiet(
    quiet: Mapping[str, float], num_clips: int, purpose: Literal["calibration", "evaluated"] = "calibration"
) -> list[str]:
    """Name clips that are nearly silent, and say how many there are.

    Parameters
    ----------
    quiet : id to largest magnitude, as `ClipFeeds.quiet` has them.
    num_clips : clips of the set.
    purpose : what the clips are for.
    """
    if not quiet:
        return []
    more = f" and {len(quiet) - _MOST_NAMES} more" if len(quiet) > _MOST_NAMES else ""
    told = ", ".join(f"{clip!r} ({format_level(peak)})" for clip, peak in list(quiet.items())[:_MOST_NAMES])
    return [
        f"{len(quiet)} of {num_clips} {purpose} clips are nearly silent, below -60 dBFS from end to end: "
        f"{told}{more}. Silence says nothing of {_MISSED[purpose]}: listen to them."
    ]


def remark_only_zeros(scales: Scales | None) -> list[str]:
    """Name the tensors whose ranges come from nothing but zeros."""
    names = [name for name, entry in scales.tensors.items() if entry.floored] if scales else []
    if not names:
        return []
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    told = ", ".join(repr(name) for name in names[:_MOST_NAMES]) + more
    return [f"Calibration saw only zeros of {told}: INT8 clips whatever else comes there."]
