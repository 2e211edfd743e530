"""Many clips over many machines with Ray: transcribe them, calibrate on them, and serve requests."""

from trtforge.serving.ray.calibration import collect_on_ray
from trtforge.serving.ray.listing import ListedClip, list_clips
from trtforge.serving.ray.recognising import Recogniser
from trtforge.serving.ray.results import read_results
from trtforge.serving.ray.settings import ManySettings
from trtforge.serving.ray.transcription import ManyReport, transcribe_many

__all__ = [
    "ListedClip",
    "ManyReport",
    "ManySettings",
    "Recogniser",
    "collect_on_ray",
    "list_clips",
    "read_results",
    "transcribe_many",
]
