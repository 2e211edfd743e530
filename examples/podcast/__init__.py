"""From a recorded episode to what a podcast needs: `run` is the whole, the modules are its stages."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examples.podcast.pipeline import Result, Tools, run
    from examples.podcast.settings import Limits, Settings, Show

__all__ = ["Limits", "Result", "Settings", "Show", "Tools", "run"]

_HOME = dict.fromkeys(("Result", "Tools", "run"), "pipeline") | dict.fromkeys(
    ("Limits", "Settings", "Show"), "settings"
)


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
