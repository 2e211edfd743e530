"""Type one network, run it, build it, and count what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.typed_graphs.contenders import Arrays, Contender
from trtforge import build, lower, observe
from trtforge._optional import is_installed
from trtforge._ort import make_session
from trtforge.calibration import Observations
from trtforge.engine import BuildConfig
from trtforge.errors import BuildError
from trtforge.graph import describe, kept_float32, widen_bfloat16, widen_float16

if TYPE_CHECKING:
    import onnx

HalfPrecision = Literal["float16", "bfloat16"]

PRECISIONS: tuple[HalfPrecision, ...] = ("float16", "bfloat16")
_LIBRARY = "tensorrt_rtx"
_CAPABILITY = "8.9"


def measure_network(name: str, contender: Contender) -> list[dict[str, Any]]:
    """Return a row for each precision."""
    observations = observe(contender.model, list(contender.observed), tensors="float16")
    expected = _run(contender.model, contender.judged)
    return [
        {"network": name, **_measure(contender, precision, observations, expected)}
        for precision in PRECISIONS
    ]


def _measure(
    contender: Contender,
    precision: HalfPrecision,
    observations: Observations,
    expected: list[dict[str, Any]],
) -> dict[str, Any]:
    half = precision == "float16"
    typed = lower(contender.model, precision, observations=observations if half else None)
    summary, kept = describe(typed), kept_float32(typed)
    original = describe(contender.model)
    rounded = widen_float16(typed) if half else widen_bfloat16(typed)
    return {
        "precision": precision,
        "num_parameters": original.num_parameters,
        "opset": [original.opset, summary.opset],
        "num_layers": len(summary.layers),
        "num_layers_as_asked": summary.counts.get(precision, 0),
        "layers_kept": {
            layer.name: kept.get(layer.name, "") for layer in summary.layers if layer.name in kept
        },
        "num_nodes": summary.num_nodes,
        "num_nodes_kept": len(kept),
        "kept_by_data": sorted(node for node, reason in kept.items() if " reaches " in reason),
        "rounded": errors(expected, _run(rounded, contender.judged)),
        # BF16 is not run without rounding: ONNX Runtime has no kernels for it.
        "onnxruntime": errors(expected, _run(typed, contender.judged)) if half else None,
        "built": _build(typed, contender),
    }


def errors(expected: list[dict[str, Any]], got: list[dict[str, Any]]) -> dict[str, float]:
    """Compare outputs over all input: energies are added up before they are divided.

    Returns
    -------
    ``snr_db``, ratio of the energies of signal and error; ``relative_error``, root mean square of the error
    over that of the signal.
    """
    signal = error = 0.0
    for before, after in zip(expected, got, strict=True):
        for name, value in before.items():
            wide = value.astype(np.float64)
            signal += float((wide**2).sum())
            error += float(((after[name].astype(np.float64) - wide) ** 2).sum())
    return {"snr_db": 10 * float(np.log10(signal / error)), "relative_error": (error / signal) ** 0.5}


def _run(model: onnx.ModelProto, inputs: tuple[Arrays, ...]) -> list[dict[str, Any]]:
    session = make_session(model, purpose="measure typed graphs")
    names = [value.name for value in model.graph.output]
    return [dict(zip(names, session.run(names, dict(arrays)), strict=True)) for arrays in inputs]


def _build(typed: onnx.ModelProto, contender: Contender) -> Mapping[str, Any] | None:
    """Return what the library built, or what it said; None where it is not installed."""
    if not is_installed(_LIBRARY):
        return None
    config = BuildConfig(compute_capabilities=(_CAPABILITY,))
    try:
        made = build(typed, profiles=[contender.profile], config=config, flavor=_LIBRARY).manifest
    except BuildError as error:
        return {"error": error.message}
    return {
        "library": f"{made.library} {made.library_version}",
        "plan_bytes": made.plan_bytes,
        "build_seconds": made.build_seconds,
        "layer_precisions": made.layer_precisions,
    }
