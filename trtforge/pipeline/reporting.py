"""Gather what a compilation found into the values of ``report.json``."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trtforge.accuracy import AccuracyReport
from trtforge.calibration import Histogram, Observations
from trtforge.engine import Engine
from trtforge.errors import TrtforgeError
from trtforge.graph import describe
from trtforge.model import model_digest
from trtforge.nvidia import describe_machine
from trtforge.report import FORMAT
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

_PLOT_BINS = 128


def make_report(
    *,
    name: str,
    source: onnx.ModelProto,
    network: onnx.ModelProto,
    scales: Scales | None,
    observations: Observations | None,
    engine: Engine,
    accuracy: AccuracyReport | None,
    seconds: Mapping[str, float],
    command: str | None,
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the report as plain JSON values; `trtforge.report.render_html` makes a page of them."""
    original, typed = describe(source), describe(network)
    return {
        "format": FORMAT,
        "title": name,
        "model": {
            "name": name,
            "sha256": model_digest(source),
            "num_parameters": original.num_parameters,
            "opset": original.opset,
            "inputs": [str(spec) for spec in original.inputs],
            "outputs": [str(spec) for spec in original.outputs],
        },
        "calibration": _calibration(scales, observations) if scales and observations else None,
        "graph": {
            "counts": dict(typed.counts),
            "layers": [
                {"name": layer.name, "op": layer.op_type, "precision": layer.precision}
                for layer in typed.layers
            ],
            "float32_nodes": dict(typed.float32_nodes),
        },
        "engine": _engine(engine),
        "proof": engine.manifest.proof.to_json() if engine.manifest.proof else None,
        "fastest": engine.manifest.options.get("fastest"),
        "accuracy": accuracy.to_json() if accuracy else None,
        "remarks": list(remarks),
        "timings": {stage: round(value, 3) for stage, value in seconds.items()},
        "environment": environment(),
        "command": command,
    }


def environment() -> dict[str, str]:
    """Name the machine and the versions of what took part."""
    machine = describe_machine()
    packages = {package: version for package, version in machine.packages.items() if version}
    return {
        "machine": f"{machine.num_cpus} CPU cores, {machine.memory_bytes / 2**30:.0f} GiB",
        "processor": platform.processor() or platform.machine(),
        "gpu": ", ".join(str(gpu) for gpu in machine.gpus) or "none",
        "system": machine.system,
        "python": machine.python,
        **machine.libraries,
        **packages,
    }


def _calibration(scales: Scales, observations: Observations) -> dict[str, Any]:
    return {
        "method": scales.method,
        "num_clips": scales.num_clips,
        "rejected": dict(scales.rejected),
        "feeds_sha256": scales.feeds_sha256,
        "tensors": [
            {
                "name": name,
                "amax": entry.amax,
                "observed_max": entry.observed_max,
                "clipped_share": entry.clipped_share,
                "floored": entry.floored,
                "num_values": observations.tensors[name].num_values,
                "histogram": _thin(observations.tensors[name]),
            }
            for name, entry in scales.tensors.items()
        ],
    }


def _thin(histogram: Histogram) -> dict[str, Any]:
    """Fold a histogram to as many bins as a plot can show."""
    counts = np.asarray(histogram.view(_PLOT_BINS).counts)
    return {"max": float(histogram.observed_max), "counts": [int(count) for count in counts]}


def _engine(engine: Engine) -> dict[str, Any]:
    manifest = engine.manifest
    try:
        verdict = str(engine.validity())
    except TrtforgeError as error:
        verdict = error.message
    return {
        "library": manifest.library,
        "version": manifest.library_version,
        "bytes": manifest.plan_bytes,
        "sha256": manifest.plan_sha256,
        "compute_capabilities": list(manifest.compute_capabilities),
        "precision": manifest.precision,
        "layer_precisions": dict(manifest.layer_precisions) if manifest.layer_precisions else None,
        "profiles": [str(profile) for profile in manifest.profiles],
        "validity": verdict,
    }
