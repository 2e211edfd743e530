"""Real plans under the manifests that TensorRT 8.6 on several GPUs would have written."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

from tests.engine.networks import PROFILE, conv_net
from trtforge.engine import Engine, build
from trtforge.profiles import OptimizationProfile

WIDE = OptimizationProfile({"mel": ((1, 4, 65), (4, 4, 100), (8, 4, 200))})


@cache
def built(*, wide: bool = False) -> Engine:
    """Build the small network with TensorRT-RTX, which needs no GPU; with a second profile if asked."""
    return build(conv_net(), profiles=(PROFILE, WIDE) if wide else (PROFILE,), flavor="tensorrt_rtx")


def as_tensorrt(engine: Engine, *capabilities: str) -> Engine:
    """Return the engine as if TensorRT 8.6.0 had built it for these GPUs."""
    manifest = dataclasses.replace(
        engine.manifest,
        library="tensorrt",
        library_version="8.6.0",
        gpu="NVIDIA H200",
        driver="580.95.05",
        compute_capabilities=capabilities or ("9.0",),
    )
    return Engine(engine.plan, manifest)


def saved(folder: Path, engine: Engine, name: str = "asr.engine") -> Path:
    """Save an engine and return its path."""
    engine.save(folder / name)
    return folder / name
