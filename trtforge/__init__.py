"""Speech networks into calibrated TensorRT engines, with proof of what the engine costs in accuracy.

The public names are listed here once and imported on first use, so that ``import trtforge`` is quick and
needs no optional package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trtforge.accuracy import AccuracyReport as AccuracyReport
    from trtforge.assignment import AccuracyBudget as AccuracyBudget
    from trtforge.assignment import Assignment as Assignment
    from trtforge.audio import ClipSet as ClipSet
    from trtforge.audio import LogMel as LogMel
    from trtforge.calibration import Observations as Observations
    from trtforge.calibration.choose import choose as choose
    from trtforge.calibration.collect import collect as collect
    from trtforge.checks import Baseline as Baseline
    from trtforge.checks import CheckConfig as CheckConfig
    from trtforge.checks import CheckResult as CheckResult
    from trtforge.engine import BuildConfig as BuildConfig
    from trtforge.engine import Engine as Engine
    from trtforge.engine import EngineStore as EngineStore
    from trtforge.engine.build import build as build
    from trtforge.errors import TrtforgeError as TrtforgeError
    from trtforge.feeds import ArrayFeeds as ArrayFeeds
    from trtforge.feeds import Feed as Feed
    from trtforge.pipeline import Compilation as Compilation
    from trtforge.pipeline import annotate as annotate
    from trtforge.pipeline import audit as audit
    from trtforge.pipeline import calibrate as calibrate
    from trtforge.pipeline import check as check
    from trtforge.pipeline import compare as compare
    from trtforge.pipeline import compile as compile  # noqa: A004
    from trtforge.pipeline import evaluate as evaluate
    from trtforge.pipeline import lint as lint
    from trtforge.pipeline import lower as lower
    from trtforge.pipeline import observe as observe
    from trtforge.pipeline import quantize as quantize
    from trtforge.pipeline import quantize_weights as quantize_weights
    from trtforge.pipeline import search as search
    from trtforge.pipeline import smooth as smooth
    from trtforge.profiles import OptimizationProfile as OptimizationProfile
    from trtforge.profiles import plan_profiles as plan_profiles
    from trtforge.runtime import OnnxRunner as OnnxRunner
    from trtforge.runtime import Session as Session
    from trtforge.runtime import TorchRunner as TorchRunner
    from trtforge.runtime import collect_on_gpu as collect_on_gpu
    from trtforge.scales import Scales as Scales
    from trtforge.speech import CtcDecoder as CtcDecoder

__version__ = "0.1.0"

_HOME = {
    "AccuracyBudget": "assignment",
    "AccuracyReport": "accuracy",
    "ArrayFeeds": "feeds",
    "Assignment": "assignment",
    "Baseline": "checks",
    "BuildConfig": "engine",
    "CheckConfig": "checks",
    "CheckResult": "checks",
    "ClipSet": "audio",
    "Compilation": "pipeline",
    "CtcDecoder": "speech",
    "Engine": "engine",
    "EngineStore": "engine",
    "Feed": "feeds",
    "LogMel": "audio",
    "Observations": "calibration",
    "OnnxRunner": "runtime",
    "OptimizationProfile": "profiles",
    "Scales": "scales",
    "Session": "runtime",
    "TorchRunner": "runtime",
    "TrtforgeError": "errors",
    "annotate": "pipeline",
    "audit": "pipeline",
    "build": "engine",
    "calibrate": "pipeline",
    "choose": "calibration",
    "collect": "calibration",
    "collect_on_gpu": "runtime",
    "check": "pipeline",
    "compare": "pipeline",
    "compile": "pipeline",
    "evaluate": "pipeline",
    "lower": "pipeline",
    "observe": "pipeline",
    "lint": "pipeline",
    "plan_profiles": "profiles",
    "quantize": "pipeline",
    "quantize_weights": "pipeline",
    "search": "pipeline",
    "smooth": "pipeline",
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
