"""The data sets that the benchmark calibrates on, from speech to pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_data.images import photograph, standardize
from trtforge.audio import ClipSet, LogMel
from trtforge.feeds import Feed, Feeds

CLEAN = {"noise": "none", "reverb": "dry", "channel": "studio"}
NOISE_RMS = 0.1

# (generator, number of samples of the clip that it stands for) -> [num_mels, num_frames]
Make = Callable[[np.random.Generator, int], NDArray[np.float32]]


@dataclass(frozen=True)
class Source:
    """One data set to calibrate on.

    Parameters
    ----------
    key : short name, for files.
    label : what plot and tables call it.
    description : what exactly it holds.
    feeds : the data as inputs of the network.
    """

    key: str
    label: str
    description: str
    feeds: Feeds


class MadeFeeds:
    """Feeds made up by a seeded generator, one for each length, the same at every iteration.

    Parameters
    ----------
    name : starts the ids; together with the other parameters it says what is fed.
    make : makes one feed's values.
    num_samples : length of each clip that a feed stands for, in samples.
    features : says what the network's input is called and how many frames a clip has.
    seed : of the generator.
    """

    def __init__(
        self, name: str, make: Make, num_samples: Sequence[int], features: LogMel, *, seed: int
    ) -> None:
        self.name = name
        self._make = make
        self._num_samples = tuple(num_samples)
        self._features = features
        self._seed = seed

    @property
    def digest(self) -> str:
        """SHA-256 over name, lengths, features and seed."""
        text = f"{self.name}\n{self._num_samples}\n{self._features!r}\n{self._seed}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._num_samples)

    def __iter__(self) -> Iterator[Feed]:
        for index, num_samples in enumerate(self._num_samples):
            values = self._make(np.random.default_rng([self._seed, index]), num_samples)
            yield Feed(
                {self._features.input_name: values[np.newaxis]},
                clip_ids=(f"{self.name}-{index:03d}",),
                num_frames=(values.shape[-1],),
            )


def make_sources(
    clips: ClipSet, features: LogMel, *, seed: int = 0, limit: int | None = None
) -> tuple[Source, ...]:
    """Return the data sets, the representative one first.

    Parameters
    ----------
    clips : the representative set; its strata must tell clean clips from others.
    features : those of the network.
    seed : of the draw of the small sample, of the noise and of the pictures.
    limit : at most so many clips of each; all by default.

    Raises
    ------
    ClipSetError : no clip is clean.
    """
    clean = clips.where(**CLEAN)
    drawn = np.random.default_rng(seed).choice(len(clips), size=len(clean), replace=False)
    few = clips.subset([clips.ids[index] for index in sorted(drawn)])
    clips, clean, few = (chosen[:limit] for chosen in (clips, clean, few))
    num_samples = [round(clip.duration * features.sampling_rate) for clip in clips]

    def noise(generator: np.random.Generator, length: int) -> NDArray[np.float32]:
        return features(NOISE_RMS * generator.standard_normal(length))

    def photo(generator: np.random.Generator, length: int) -> NDArray[np.float32]:
        return photograph(generator, features.num_mels, features.num_frames(length))

    def standard(generator: np.random.Generator, length: int) -> NDArray[np.float32]:
        return standardize(photo(generator, length))

    def made(name: str, make: Make) -> MadeFeeds:
        return MadeFeeds(name, make, num_samples, features, seed=seed)

    plain = ", ".join(f"{factor} {value}" for factor, value in CLEAN.items())
    return (
        Source("representative", "all conditions", f"{clips.name}, every clip", clips.feeds(features)),
        Source(
            "few",
            "all conditions, few",
            f"clips of {clips.name} drawn at random, as many as are clean",
            few.feeds(features),
        ),
        Source("clean", "clean speech", f"the clips of {clips.name} with {plain}", clean.feeds(features)),
        Source(
            "noise",
            "white noise",
            f"Gaussian white noise of RMS {NOISE_RMS:g} through the network's features",
            made("white-noise", noise),
        ),
        Source(
            "images",
            "pictures, 0 to 1",
            "random pictures with the spectrum and contrast of photographs, 0 to 1",
            made("picture", photo),
        ),
        Source(
            "images-standardized",
            "pictures, standardized",
            "the same pictures less ImageNet's mean, over its standard deviation",
            made("standardized-picture", standard),
        ),
    )
