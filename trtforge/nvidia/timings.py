"""Give a build the timings of earlier ones, and take its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from trtforge.nvidia.log import VendorLog

# Adds a timing cache to the one in hand; None where they are not of one library and GPU.
Merge: TypeAlias = Callable[[bytes], "bytes | None"]
# Takes the cache of a build, and what adds another to it.
KeepTimings: TypeAlias = Callable[[bytes, Merge], None]


def set_timing_cache(config: Any, content: bytes, log: VendorLog) -> None:
    """Let a build use a timing cache; one that the library does not take is replaced by an empty one.

    Parameters
    ----------
    config : an ``IBuilderConfig``.
    content : what an earlier build gave, or nothing.
    log : gets a warning where the cache is not taken.
    """
    cache = _create(config, content)
    if cache is None or _was_dropped(config, content, cache) or not config.set_timing_cache(cache, False):
        log.warnings.append("the timing cache was made elsewhere, and a new one was begun")
        config.set_timing_cache(_create(config, b""), False)


def keep_timings(config: Any, keep: KeepTimings) -> None:
    """Hand out the timing cache of a build that is done, with a way to add others to it.

    Parameters
    ----------
    config : the ``IBuilderConfig`` of the build.
    keep : called once, before this returns.
    """
    cache = config.get_timing_cache()
    if cache is None:
        return

    def merge(content: bytes) -> bytes | None:
        other = _create(config, content)
        if other is None or not cache.combine(other, False):
            return None
        return bytes(cache.serialize())

    keep(bytes(cache.serialize()), merge)


def _was_dropped(config: Any, content: bytes, cache: Any) -> bool:
    """Say whether the library made an empty cache of content, as 8.6 does without a word where it is none."""
    empty = bytes(_create(config, b"").serialize())
    return content not in (b"", empty) and bytes(cache.serialize()) == empty


def _create(config: Any, content: bytes) -> Any:
    try:
        return config.create_timing_cache(content)
    except (RuntimeError, TypeError, ValueError):  # what the bindings raise for content that is none
        return None
