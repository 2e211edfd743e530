"""How many clips of a set may be set aside before the set itself is refused."""

from __future__ import annotations

from collections.abc import Mapping

from trtforge.errors import ClipSetError, ConfigError

_SHOWN_REASONS = 3


def check_bad_share(max_bad_share: float) -> None:
    """Raise `ConfigError` unless the share lies in 0 to 1."""
    if not 0 <= max_bad_share <= 1:
        raise ConfigError(f"max_bad_share must lie in 0 to 1, got {max_bad_share!r}")


def refuse_bad_share(rejected: Mapping[str, str], num_clips: int, max_bad_share: float, name: str) -> None:
    """Raise `ClipSetError` when more than ``max_bad_share`` of the clips are rejected, or all of them."""
    if len(rejected) <= max_bad_share * num_clips and len(rejected) < num_clips:
        return
    reasons = "; ".join(list(rejected.values())[:_SHOWN_REASONS])
    more = len(rejected) - _SHOWN_REASONS
    raise ClipSetError(
        f"{len(rejected)} of {num_clips} clips of {name!r} are unusable, at most {max_bad_share:.0%} may be: "
        f"{reasons}{f'; and {more} more' if more > 0 else ''}",
        hint="mend or remove them, or raise max_bad_share",
        settings=("max_bad_share",),
    )
