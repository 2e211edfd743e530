"""Which clips the chosen scales cut more than they should."""

from __future__ import annotations

from dataclasses import dataclass

from trtforge.calibration.clip_observations import ClipObservations
from trtforge.errors import ConfigError
from trtforge.scales import Scales


@dataclass(frozen=True)
class Saturation:
    """A clip of which too many activations lie above the chosen threshold.

    Parameters
    ----------
    clip_id : the clip.
    tensor : the tensor of which most is clipped.
    clipped_share : share of the clip's values of that tensor above the threshold, 0 to 1.
    overall_share : the same over all clips.
    num_tensors : tensors of which more is clipped than allowed.
    """

    clip_id: str
    tensor: str
    clipped_share: float
    overall_share: float
    num_tensors: int


def saturations(
    observed: ClipObservations, scales: Scales, *, max_clipped_share: float
) -> tuple[Saturation, ...]:
    """Find the clips of which more is clipped than allowed, in any tensor.

    Parameters
    ----------
    observed : what each clip gave.
    scales : the thresholds.
    max_clipped_share : share of a clip's values of one tensor that may lie above its threshold, 0 to 1.

    Returns
    -------
    One entry for each such clip, the most clipped first.

    Raises
    ------
    ConfigError : ``max_clipped_share`` is out of range.
    """
    check_clipped_share(max_clipped_share)
    found: list[Saturation] = []
    for clip_id in observed.clip_ids:
        shares = {
            name: histogram.share_above(scales[name].amax)
            for name, histogram in observed.histograms(clip_id).items()
        }
        worst = max(shares, key=lambda name: shares[name])
        if shares[worst] > max_clipped_share:
            above = sum(share > max_clipped_share for share in shares.values())
            found.append(Saturation(clip_id, worst, shares[worst], scales[worst].clipped_share, above))
    return tuple(sorted(found, key=lambda saturation: -saturation.clipped_share))


def check_clipped_share(max_clipped_share: float) -> None:
    """Raise `ConfigError` unless it lies in 0 to 1."""
    if not 0 <= max_clipped_share <= 1:
        raise ConfigError(
            f"max_clipped_share must lie in 0 to 1, got {max_clipped_share!r}",
            settings=("max_clipped_share",),
        )
