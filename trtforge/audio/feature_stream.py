"""Log-mel features of audio that comes in blocks, in memory that does not grow with its length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._ahead import ahead
from trtforge.audio.features import LogMel
from trtforge.errors import InputError


@dataclass(frozen=True)
class BandStatistics:
    """Mean and deviation of each band over all frames of a recording.

    Parameters
    ----------
    num_samples : samples that were read.
    num_frames : frames that they gave.
    mean, std : float64 [num_mels]; the standard deviation is the population's.
    """

    num_samples: int
    num_frames: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def measure_bands(blocks: Iterable[NDArray[np.floating[Any]]], features: LogMel) -> BandStatistics:
    """Go through a recording once for what `LogMel` normalizes by.

    Parameters
    ----------
    blocks : floating [num_samples] each, of any length, as from `trtforge.audio.decode.audio_blocks`.
    features : the features.

    Returns
    -------
    What the whole recording gives at once, but for the rounding of float64 sums.

    Raises
    ------
    InputError : a block is not one row of finite floating samples, or there are no samples.

    References
    ----------
    T. Chan, G. Golub, R. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", Stanford STAN-CS-79-773, 1979.
    """
    num_samples = num_frames = 0
    mean, squares = np.zeros(features.num_mels), np.zeros(features.num_mels)

    def counted() -> Iterator[NDArray[np.floating[Any]]]:
        nonlocal num_samples
        for block in blocks:
            num_samples += len(block)
            yield block

    for mel in _log_power_blocks(counted(), features):
        count = mel.shape[1]
        block_mean = mel.mean(axis=1)
        shift, total = block_mean - mean, num_frames + count
        squares += ((mel - block_mean[:, None]) ** 2).sum(axis=1) + shift**2 * (num_frames * count / total)
        mean += shift * (count / total)
        num_frames = total
    return BandStatistics(num_samples, num_frames, mean, np.sqrt(squares / num_frames))


def feature_blocks(
    blocks: Iterable[NDArray[np.floating[Any]]], features: LogMel, statistics: BandStatistics
) -> Iterator[NDArray[np.float32]]:
    """Yield a recording's features, which put together are those of the whole recording.

    Parameters
    ----------
    blocks, features : as for `measure_bands`.
    statistics : of the whole recording; not used where the features are not normalized.

    Returns
    -------
    Blocks of float32 [num_mels, frames], each with at least one frame.

    Raises
    ------
    InputError : as for `measure_bands`.
    """
    for mel in _log_power_blocks(blocks, features):
        if features.normalize == "per_band":
            yield features.normalized(mel, statistics.mean, statistics.std)
        else:
            yield mel.astype(np.float32)


def _log_power_blocks(
    blocks: Iterable[NDArray[np.floating[Any]]], features: LogMel
) -> Iterator[NDArray[np.float64]]:
    """Yield float64 [num_mels, frames] as soon as frames are complete; zeros stand around the recording.

    Blocks are read, and frames computed, in threads ahead of what is taken.
    """
    return ahead(_whole_frames(blocks, features), features.log_power)


def _whole_frames(
    blocks: Iterable[NDArray[np.floating[Any]]], features: LogMel
) -> Iterator[NDArray[np.float64]]:
    """Yield the samples of one or more whole frames at a time, those that frames share again."""
    edge = np.zeros(features.n_fft // 2)
    held, num_samples, skipped = edge, 0, 0
    for block in blocks:
        if block.ndim != 1 or not np.issubdtype(block.dtype, np.floating) or not np.isfinite(block).all():
            raise InputError(
                f"features take blocks of finite floating [num_samples], got {block.dtype} "
                f"{list(block.shape)}, or NaN or infinity among them"
            )
        num_samples += len(block)
        held = np.concatenate([held, block[skipped:].astype(np.float64)])
        skipped = max(0, skipped - len(block))
        num_frames = features.num_whole_frames(len(held))
        if num_frames:
            yield held
            start = num_frames * features.hop_length
            skipped = max(0, start - len(held))  # a hop may be longer than the transform
            held = held[start:]
    if not num_samples:
        raise InputError("features take at least one sample, got none")
    held = np.concatenate([held, edge[skipped:]])
    if features.num_whole_frames(len(held)):
        yield held
