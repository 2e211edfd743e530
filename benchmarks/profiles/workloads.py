"""The workloads of the profile benchmark: podcasts cut at pauses, two ways, and the bundled sets.

The podcast workloads are made, not recorded. Their parameters are assumptions, chosen to span what podcasts
are:

* Episodes last 10 minutes to 3 hours: log-normal around a median of 40 minutes with a spread of 0.6 (standard
  deviation of the logarithm), drawn again where they fall outside.
* Speech between pauses lasts 6 s at the median, log-normal with a spread of 0.8, at least 0.5 s; the end of
  an episode cuts the last stretch short.
* A stretch of more than 30 s is cut at 30 s, as a recogniser with a 30-second window must.

A piece is either what lies between two pauses, or all that fits into 30 s up to the last pause before that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trtforge.audio import ClipSet, LogMel
from trtforge.units import num_samples

ROOT = Path(__file__).parents[2]
SETS = ("podcast_en", "podcast_en_test")
FRAMES_PER_SECOND = 100
PARAMETERS: Mapping[str, float] = {
    "episode_min_s": 600,
    "episode_median_s": 2400,
    "episode_max_s": 10800,
    "episode_spread": 0.6,
    "stretch_median_s": 6,
    "stretch_spread": 0.8,
    "stretch_min_s": 0.5,
    "stretch_max_s": 30,
}


def podcast_frames(count: int, *, filled: bool, seed: int = 0) -> list[int]:
    """Draw lengths of a podcast workload.

    Parameters
    ----------
    count : how many, from as many episodes as it takes.
    filled : cut at the last pause within 30 s, instead of at every pause.
    seed : of the random numbers.

    Returns
    -------
    Lengths in frames of 10 ms.
    """
    rng = np.random.default_rng(seed)
    found: list[int] = []
    while len(found) < count:
        pieces = _stretches(rng)
        found += [
            max(1, round(seconds * FRAMES_PER_SECOND)) for seconds in (_fill(pieces) if filled else pieces)
        ]
    return found[:count]


def _stretches(rng: np.random.Generator) -> list[float]:
    """Draw what lies between the pauses of one episode, in seconds, none above the window."""
    of, episode = PARAMETERS, 0.0
    while not of["episode_min_s"] <= episode <= of["episode_max_s"]:
        episode = rng.lognormal(math.log(of["episode_median_s"]), of["episode_spread"])
    found: list[float] = []
    while episode > of["stretch_min_s"]:
        stretch = rng.lognormal(math.log(of["stretch_median_s"]), of["stretch_spread"])
        stretch = min(max(stretch, of["stretch_min_s"]), episode)
        episode -= stretch
        whole, rest = divmod(stretch, of["stretch_max_s"])
        found += [of["stretch_max_s"]] * int(whole) + [rest] * (rest > 0)
    return found


def _fill(stretches: list[float]) -> list[float]:
    pieces = [stretches[0]]
    for stretch in stretches[1:]:
        if pieces[-1] + stretch <= PARAMETERS["stretch_max_s"]:
            pieces[-1] += stretch
        else:
            pieces.append(stretch)
    return pieces


def bundled_frames(name: str) -> list[int]:
    """Return the lengths of a bundled set, in frames of 10 ms."""
    features = LogMel()
    durations = ClipSet.load(ROOT / "calibration_sets" / name, verify=False).durations()
    return [features.num_frames(num_samples(seconds, features.sampling_rate)) for seconds in durations]
