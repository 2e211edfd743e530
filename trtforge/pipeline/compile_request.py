"""What is asked of a compilation: checked at once, before a later stage would refuse it after minutes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

from trtforge.calibration.activations import check_activation_bytes
from trtforge.engine import BuildConfig
from trtforge.engine.narrow_types import WEIGHT_ONLY
from trtforge.errors import ConfigError
from trtforge.model import ModelSource
from trtforge.nvidia import Flavor
from trtforge.pipeline.calibration import CollectOn, ObservedTensors
from trtforge.pipeline.range_choice import check_auto_method
from trtforge.precisions import Precision
from trtforge.profiles import OptimizationProfile

CompilePrecision: TypeAlias = Precision | Literal["fastest"]

# Those that need INT8 ranges, which FP8 is written from too.
CALIBRATED = ("int8", "float8", "fastest")


def build_settings(precision: CompilePrecision, config: BuildConfig | None) -> BuildConfig:
    """Return how to build, with the precision in it; raise ConfigError where ``config`` has another."""
    if config is not None and config.precision not in (None, precision):
        raise ConfigError(
            f"precision is {precision!r} and that of config is {config.precision!r}",
            hint="leave it out of config",
            settings=("precision", "config"),
        )
    return replace(config or BuildConfig(), precision=None if precision == "fastest" else precision)


def check_request(
    precision: str,
    clips: object,
    test_clips: object,
    profiles: Sequence[OptimizationProfile] | None,
    method: str,
    percentile: float,
    max_batch: int,
    activation_bytes: int,
    for_int8: Mapping[str, bool],
) -> None:
    """Refuse at once what a later stage would refuse after minutes.

    Parameters
    ----------
    for_int8 : arguments that are about INT8 alone, and whether each was given; the others as for `compile`.
    """
    check_auto_method(method, percentile)
    if max_batch < 1:
        raise ConfigError(f"max_batch must be at least 1, got {max_batch}", settings=("max_batch",))
    check_activation_bytes(activation_bytes)
    for setting, asked in for_int8.items():
        if asked and precision not in CALIBRATED:
            raise ConfigError(
                f"{setting} is about INT8 and FP8, and the precision is {precision!r}",
                hint=f"leave {setting} out, or ask for int8 or float8",
                settings=(setting, "precision"),
            )
    if precision in CALIBRATED and clips is None:
        raise ConfigError(
            f"{precision} needs clips to calibrate on, and none were given",
            hint="pass a clip set that sounds like the audio you expect, or ask for float16",
            settings=("clips", "precision"),
        )
    if clips is None and test_clips is None and not profiles:
        raise ConfigError(
            "without clips the lengths to build for are unknown",
            hint="pass profiles, or clips",
            settings=("profiles", "clips", "evaluate"),
        )


def name_of(model: ModelSource) -> str:
    """Return what a network is called, by its file or by itself."""
    return Path(model).stem if isinstance(model, str | os.PathLike) else model.graph.name or "model"


def checked_name(name: str) -> str:
    """Return a name that files may have; raise ConfigError for any other."""
    if name in ("", ".", "..") or Path(name).name != name:
        raise ConfigError(f"name must be a plain file name, got {name!r}")
    return name


def check_keep_float32(keep_float32: Sequence[str], precision: str, flavor: Flavor) -> None:
    """Raise ConfigError where nodes are to stay in FP32 and nothing is typed."""
    if keep_float32 and (precision == "float32" or not flavor.strongly_typed_only):
        why = f"{flavor} chooses by itself what runs in FP16" if precision != "float32" else "nothing is FP16"
        raise ConfigError(
            f"keep_float32 has no effect: the precision is {precision!r}, and {why}",
            hint="leave keep_float32 out, or build with tensorrt_rtx in another precision than float32",
            settings=("keep_float32", "flavor", "precision"),
        )


def tensors_to_know(
    precision: str, flavor: Flavor, collect_on: CollectOn, *, for_cache: bool = False
) -> ObservedTensors | None:
    """Say which tensors should be known for a precision; None where none.

    Parameters
    ----------
    precision, flavor, collect_on : what was asked for.
    for_cache : whether a complete calibration cache is wanted, where the library takes one.
    """
    # On a GPU, tensors that TensorRT fuses or drops cannot be watched; those that INT8 touches can.
    typed_by_data = flavor.strongly_typed_only and collect_on == "cpu"
    if for_cache and flavor.has_calibrators and collect_on == "cpu":
        return "cache"
    if precision in CALIBRATED:
        return "all" if typed_by_data else "int8"
    computes_in_half = precision == "float16" or precision in WEIGHT_ONLY
    return "float16" if computes_in_half and typed_by_data else None
