"""The stages wired together: what most people call."""

from trtforge.pipeline.artifacts import Compilation
from trtforge.pipeline.auditing import CLEAN, audit, make_orders, observe_clips
from trtforge.pipeline.clips import plan_for_clips
from trtforge.pipeline.compilation import compile  # noqa: A004 - named for what users look for
from trtforge.pipeline.evaluation import evaluate
from trtforge.pipeline.linting import lint
from trtforge.pipeline.quantization import calibrate, observe, quantize, quantize_weights
from trtforge.pipeline.smoothing import Smoothing, smooth

__all__ = [
    "CLEAN",
    "Compilation",
    "Smoothing",
    "audit",
    "calibrate",
    "compile",
    "evaluate",
    "lint",
    "make_orders",
    "observe",
    "observe_clips",
    "plan_for_clips",
    "quantize",
    "quantize_weights",
    "smooth",
]
