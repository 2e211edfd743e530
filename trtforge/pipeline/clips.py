"""Clip sets as the stages take them, and the optimization profiles for their lengths."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from trtforge.audio import ClipSet, Features
from trtforge.errors import ClipSetError
from trtforge.model import model_inputs
from trtforge.profiles import OptimizationProfile, plan_profiles
from trtforge.units import num_samples

if TYPE_CHECKING:
    import onnx

# Kernels like lengths that are multiples of this.
_MULTIPLE_OF = 8


def as_clip_set(source: ClipSet | str | os.PathLike[str]) -> ClipSet:
    """Take a clip set as it is, or load it from its folder."""
    return source if isinstance(source, ClipSet) else ClipSet.load(source)


def plan_for_clips(
    model: onnx.ModelProto, features: Features, sets: Iterable[ClipSet], *, max_batch: int
) -> tuple[OptimizationProfile, ...]:
    """Make the profiles that cover every clip of some sets.

    Parameters
    ----------
    model : the network.
    features : what turns its clips into input.
    sets : the clips.
    max_batch : largest number of rows.

    Raises
    ------
    ClipSetError : there is no clip.
    ProfileError : ``max_batch`` is below 1.
    """
    samples = [
        num_samples(duration, features.sampling_rate) for clips in sets for duration in clips.durations()
    ]
    if not samples:
        raise ClipSetError("no clip is left whose length could be planned for")
    # Resampling may give a sample more or less than the duration says.
    samples += [max(0, min(samples) - 1), max(samples) + 1]
    frames = [features.num_frames(count) for count in samples]
    return plan_profiles(model_inputs(model), frames, max_batch=max_batch, multiple_of=_MULTIPLE_OF)
