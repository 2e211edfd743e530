"""How to build an engine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Literal, get_args

from trtforge.errors import ConfigError

Precision = Literal["int8", "float16", "float32"]
Calibrator = Literal["entropy", "minmax"]

MAX_OPTIMIZATION_LEVEL = 5


@dataclass(frozen=True)
class BuildConfig:
    """What to ask of the builder.

    Parameters
    ----------
    precision : what the engine must compute in, or None for what the network holds. ``int8`` needs a network
        with Q/DQ nodes or, with TensorRT 8.6 and 10, a calibration. ``float16`` needs a network typed FP16
        or float32; the latter is lowered by a builder flag (TensorRT 8.6 and 10) or typed FP16 before it is
        built (TensorRT 11, TensorRT-RTX). Anything else the network holds than what is asked is an error.
    optimization_level : 0 (fastest build) to 5 (fastest engine); None leaves the library's default, 3.
    workspace_bytes : most scratch memory that a layer may use; None allows all there is, which is best.
    compute_capabilities : GPU generations to build for, such as ``("8.6", "8.9")``; TensorRT-RTX only, whose
        default is every one from 8.0 on.
    timing_cache : file that keeps measured timings between builds; TensorRT only.
    calibration_cache : content of a calibration cache, for ``int8`` of a network without Q/DQ nodes; TensorRT
        8.6 and 10 only.
    calibrator : ``entropy`` or ``minmax``: how TensorRT 8.6 and 10 calibrate on feeds by themselves, or the
        kind of the calibration cache; None is that of the cache, else ``entropy``.

    Raises
    ------
    ConfigError : a value is out of range.
    """

    precision: Precision | None = None
    optimization_level: int | None = None
    workspace_bytes: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    timing_cache: str | os.PathLike[str] | None = None
    calibration_cache: bytes | None = field(default=None, repr=False)
    calibrator: Calibrator | None = None

    def __post_init__(self) -> None:
        if self.precision is not None and self.precision not in get_args(Precision):
            choices = ", ".join(map(repr, get_args(Precision)))
            raise ConfigError(f"precision must be one of {choices} or None, got {self.precision!r}")
        if self.calibrator is not None and self.calibrator not in get_args(Calibrator):
            choices = ", ".join(map(repr, get_args(Calibrator)))
            raise ConfigError(f"calibrator must be one of {choices} or None, got {self.calibrator!r}")
        if self.calibration_cache is not None and not isinstance(self.calibration_cache, bytes):
            kind = type(self.calibration_cache).__name__
            raise ConfigError(f"calibration_cache must be the content of a file, bytes, got {kind}")
        for setting in ("calibration_cache", "calibrator"):
            if getattr(self, setting) is not None and self.precision != "int8":
                raise ConfigError(f"{setting} needs precision='int8', got {self.precision!r}")
        level = self.optimization_level
        if level is not None and not 0 <= level <= MAX_OPTIMIZATION_LEVEL:
            raise ConfigError(
                f"optimization_level must lie in 0 to {MAX_OPTIMIZATION_LEVEL}, got {level}",
                settings=("optimization_level",),
            )
        if self.workspace_bytes is not None and self.workspace_bytes < 1:
            raise ConfigError(f"workspace_bytes must be positive, got {self.workspace_bytes}")
        if isinstance(self.compute_capabilities, str):
            raise ConfigError(
                f"compute_capabilities must be a tuple of strings, got {self.compute_capabilities!r}"
            )
        object.__setattr__(self, "compute_capabilities", tuple(self.compute_capabilities))
        for capability in self.compute_capabilities:
            if not re.fullmatch(r"\d+\.\d", capability):
                raise ConfigError(f"compute_capabilities wants versions such as '8.9', got {capability!r}")
        if len(set(self.compute_capabilities)) < len(self.compute_capabilities):
            raise ConfigError(f"compute_capabilities names one twice: {self.compute_capabilities}")
