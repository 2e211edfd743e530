"""Calibrate one network by TensorRT itself and by trtforge, on the same batches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.native_calibrator.networks import Subject
from trtforge.calibration import (
    CalibrationCache,
    Observations,
    cache_from_scales,
    cache_header,
    cache_tensors,
    choose,
    collect,
    read_calibration_cache,
)
from trtforge.engine import BuildConfig, Engine, build
from trtforge.errors import BuildError, NoGpuError
from trtforge.feeds import ArrayFeeds
from trtforge.nvidia import Flavor, available, gpus
from trtforge.nvidia.log import listen, logger_of
from trtforge.nvidia.tensor_names import tensor_names
from trtforge.nvidia.v8 import V8

if TYPE_CHECKING:
    import onnx

# Room for all activations of a batch, so that no network is cut into segments; the machine has memory.
_ACTIVATION_BYTES = 16_000_000_000


class V8WithoutTf32(V8):
    """TensorRT 8.6 whose FP32 layers, those that calibration runs among them, compute in full FP32."""

    def set_precision(self, trt: Any, config: Any, precision: str) -> None:
        """Forbid TF32, besides what the precision needs."""
        super().set_precision(trt, config, precision)
        config.clear_flag(trt.BuilderFlag.TF32)


def calibrating_flavor() -> Flavor:
    """Return the installed library that has calibrators.

    Raises
    ------
    NoGpuError : there is none, or CUDA finds no GPU; the message says which.
    """
    hint = "run this on a machine with a GPU and TensorRT 8.6 or 10; --again needs neither"
    if not gpus():
        raise NoGpuError("a GPU is needed to calibrate with TensorRT, and CUDA finds none here", hint=hint)
    flavor = next((flavor for flavor in available() if flavor.has_calibrators), None)
    if flavor is None:
        raise NoGpuError("no TensorRT with calibrators is installed", hint=hint)
    return flavor


def calibrate_natively(
    subject: Subject, flavor: Flavor, *, timing_cache: Path, level: int | None = None
) -> tuple[Engine, CalibrationCache]:
    """Build with ``IInt8EntropyCalibrator2`` over the subject's batches.

    Parameters
    ----------
    subject : network and batches.
    flavor : the library.
    timing_cache : file that keeps the timings of layers for the build that follows.
    level : the builder's optimization level; None is the library's default.

    Returns
    -------
    The engine, and the cache that TensorRT wrote.

    Raises
    ------
    BuildError : no cache was written.
    """
    written: list[bytes] = []
    engine = build(
        subject.model,
        profiles=[subject.profile],
        config=BuildConfig(precision="int8", timing_cache=timing_cache, optimization_level=level),
        flavor=flavor,
        feeds=ArrayFeeds(subject.batches),
        on_calibration_cache=written.append,
    )
    if not written:
        raise BuildError(f"{flavor} calibrated {subject.name} and wrote no cache")
    return engine, read_calibration_cache(written[0])


def observe(subject: Subject) -> tuple[Observations, Observations]:
    """Count every activation over the first batch, and over all of them.

    Counts add up exactly, so that the second is what one pass over all batches gives.
    """
    tensors = cache_tensors(subject.model)

    def counted(begin: int, end: int | None) -> Observations:
        feeds = ArrayFeeds(subject.batches[begin:end])
        return collect(subject.model, feeds, tensors, activation_bytes=_ACTIVATION_BYTES)

    first = counted(0, 1)
    return first, first.merge(counted(1, None)) if len(subject.batches) > 1 else first


def our_cache(total: Observations, flavor: Flavor, names: Mapping[str, str]) -> bytes:
    """Choose by entropy, and write the scales as the library's calibration cache."""
    header = cache_header(flavor.version, "entropy")
    return cache_from_scales(choose(total, "entropy"), header, names=names).dumps()


def build_from_cache(
    subject: Subject, flavor: Flavor, cache: bytes, *, timing_cache: Path, level: int | None = None
) -> Engine:
    """Build from a calibration cache alone: no batch is asked for."""
    config = BuildConfig(
        precision="int8", calibration_cache=cache, timing_cache=timing_cache, optimization_level=level
    )
    return build(subject.model, profiles=[subject.profile], config=config, flavor=flavor)


def parsed_names(model: onnx.ModelProto, flavor: Flavor) -> dict[str, str]:
    """Parse the network with the library; return its tensor names, each to ours of the same values.

    Raises
    ------
    BuildError : the library cannot parse the network; the message carries its own reason.
    """
    trt, log = flavor.module(), listen()
    logger = logger_of(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(flavor.network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString()):
        raise BuildError(f"{flavor} cannot read the network: {log.reason}")
    return tensor_names(network, cache_tensors(model))
