"""Keep account of the clips that were counted and of those that were refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trtforge.errors import CalibrationError, ConfigError
from trtforge.feeds import Feeds


class ClipTally:
    """Which clips were counted, and which batches were refused for values that are not finite.

    Parameters
    ----------
    max_nonfinite_share : largest share of clips with non-finite activations, 0 to 1.

    Attributes
    ----------
    num_clips : number of clips counted.
    rejected : clips left out, by id, with the reason.

    Raises
    ------
    ConfigError : ``max_nonfinite_share`` is out of range.
    """

    def __init__(self, max_nonfinite_share: float) -> None:
        if not 0 <= max_nonfinite_share <= 1:
            raise ConfigError(f"max_nonfinite_share must lie in 0 to 1, got {max_nonfinite_share!r}")
        self.num_clips = 0
        self.rejected: dict[str, str] = {}
        self._nonfinite: dict[str, str] = {}
        self._max_nonfinite_share = max_nonfinite_share

    @property
    def num_seen(self) -> int:
        """Number of clips run so far."""
        return self.num_clips + len(self.rejected)

    def add(self, clip_ids: Sequence[str], faults: Mapping[str, str], num_expected: int) -> bool:
        """Enter a batch and say whether to count it.

        Parameters
        ----------
        clip_ids : its clips.
        faults : those that are not finite, with the reason.
        num_expected : number of clips there will be in all.

        Raises
        ------
        CalibrationError : more than the allowed share of all clips is not finite.
        """
        if not faults:
            self.num_clips += len(clip_ids)
            return True
        named = next(iter(faults))
        self._nonfinite.update(faults)
        self.rejected.update(dict.fromkeys(clip_ids, f"in one batch with clip {named!r}, which was refused"))
        self.rejected.update(faults)
        self._check_share(num_expected)
        return False

    def finish(self, feeds: Feeds) -> int:
        """Add what the feeds themselves rejected, and return how many clips were counted.

        Raises
        ------
        CalibrationError : too large a share of the clips is not finite, or no clip was counted.
        """
        self._check_share(self.num_seen)
        refused = {str(clip): str(reason) for clip, reason in getattr(feeds, "rejected", {}).items()}
        self.rejected = refused | self.rejected
        if self.num_clips == 0:
            raise CalibrationError(
                f"calibration needs at least one clip, got none ({len(self.rejected)} were rejected)",
                hint="check that the clip set is not empty and that its files can be read",
            )
        return self.num_clips

    def _check_share(self, num_clips: int) -> None:
        num_clips = max(num_clips, 1)
        if len(self._nonfinite) > self._max_nonfinite_share * num_clips:
            clip, reason = next(iter(self._nonfinite.items()))
            raise CalibrationError(
                f"{len(self._nonfinite)} of {num_clips} clips gave non-finite activations, more than the "
                f"{100 * self._max_nonfinite_share:g} % allowed; first clip {clip!r}: {reason}",
                hint="where the feed itself holds them, mend or leave out the clip; elsewhere, look at what "
                "the network computes there",
            )
