"""Transcript and key points of a talk while it is recorded: `listen` is the loop, the modules its parts."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examples.podcast_live.listening import Heard, LiveSettings, listen

__all__ = ["Heard", "LiveSettings", "listen"]


def __getattr__(name: str) -> Any:
    """Import the module of the public names when one is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.listening"), name)
