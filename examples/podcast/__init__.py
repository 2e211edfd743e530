"""From a recorded episode to what a podcast needs: `run` is the whole, the modules are its stages."""

from examples.podcast.pipeline import Result, Tools, run
from examples.podcast.settings import Limits, Settings, Show

__all__ = ["Limits", "Result", "Settings", "Show", "Tools", "run"]
