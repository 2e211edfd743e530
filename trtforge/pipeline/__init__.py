"""The stages wired together: what most people call."""

from trtforge.pipeline.annotating import annotate
from trtforge.pipeline.artifacts import Compilation
from trtforge.pipeline.auditing import CLEAN, audit, make_orders, observe_clips
from trtforge.pipeline.calibration import calibrate, observe
from trtforge.pipeline.checking import check, evaluate_candidate, measure_baseline, time_candidate
from trtforge.pipeline.clips import plan_for_clips
from trtforge.pipeline.comparison import compare
from trtforge.pipeline.compilation import compile  # noqa: A004 - named for what users look for
from trtforge.pipeline.costing import lengths_to_time, measure_cost
from trtforge.pipeline.evaluation import evaluate, open_runner
from trtforge.pipeline.fastest import Fastest, build_fastest
from trtforge.pipeline.frontier_timing import FrontierTiming, choice_timer
from trtforge.pipeline.linting import lint
from trtforge.pipeline.lowering import lower
from trtforge.pipeline.quantization import quantize, quantize_weights
from trtforge.pipeline.searching import Search, search
from trtforge.pipeline.smoothing import Smoothing, smooth

__all__ = [
    "CLEAN",
    "Compilation",
    "Fastest",
    "FrontierTiming",
    "Search",
    "Smoothing",
    "annotate",
    "audit",
    "build_fastest",
    "calibrate",
    "check",
    "choice_timer",
    "compare",
    "compile",
    "evaluate",
    "evaluate_candidate",
    "lengths_to_time",
    "lint",
    "lower",
    "make_orders",
    "measure_baseline",
    "measure_cost",
    "observe",
    "observe_clips",
    "open_runner",
    "plan_for_clips",
    "quantize",
    "quantize_weights",
    "search",
    "smooth",
    "time_candidate",
]
