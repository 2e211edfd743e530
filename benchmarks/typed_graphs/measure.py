"""Type one network, run it, build it, and count what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from benchmarks.typed_graphs.contenders import Arrays, Contender
from trtforge import build, lower, observe, quantize, quantize_weights
from trtforge._optional import is_installed
from trtforge._ort import make_session
from trtforge.calibration import Observations
from trtforge.engine import BuildConfig
from trtforge.engine.narrow_types import WEIGHT_ONLY
from trtforge.errors import BuildError, QuantizationError
from trtforge.graph import (
    describe,
    kept_float32,
    plan_placement,
    prepare,
    widen_bfloat16,
    widen_float16,
)
from trtforge.graph.describe import GraphSummary
from trtforge.graph.weight_only import plan_weights
from trtforge.pipeline.range_choice import scales_from
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

HalfPrecision = Literal["float16", "bfloat16"]

NarrowPrecision = Literal["int8", "float8", "int8_weight_only", "int4_weight_only"]
TypedPrecision: TypeAlias = HalfPrecision | NarrowPrecision

HALF: tuple[HalfPrecision, ...] = get_args(HalfPrecision)
NARROW: tuple[NarrowPrecision, ...] = get_args(NarrowPrecision)
_BLOCK_SIZE = 64
_NO_PRODUCT = "weights of products alone are stored narrow"
_LIBRARY = "tensorrt_rtx"
_CAPABILITY = "8.9"


def measure_network(name: str, contender: Contender) -> list[dict[str, Any]]:
    """Return a row for each precision."""
    observations = observe(contender.model, list(contender.observed), tensors="all")
    scales = scales_from(observations, contender.model)
    expected = _run(contender.model, contender.judged)
    rows = []
    for precision in (*HALF, *NARROW):
        try:
            typed = _typed(contender.model, precision, observations, scales)
        except QuantizationError as error:
            found: dict[str, Any] = {"refused": error.message}
        else:
            found = _measure(contender, precision, typed, expected)
        rows.append({"network": name, "precision": precision, **found})
    return rows


def _typed(
    model: onnx.ModelProto, precision: TypedPrecision, observations: Observations, scales: Scales
) -> onnx.ModelProto:
    if precision == "bfloat16":
        return lower(model, precision)
    if precision == "float16":
        return lower(model, precision, observations=observations)
    if precision == "int8" or precision == "float8":
        return quantize(model, scales, rest="float16", to=precision, observations=observations)
    return quantize_weights(model, WEIGHT_ONLY[precision], block_size=_BLOCK_SIZE, observations=observations)


def _measure(
    contender: Contender,
    precision: TypedPrecision,
    typed: onnx.ModelProto,
    expected: list[dict[str, Any]],
) -> dict[str, Any]:
    summary, kept, original = describe(typed), kept_float32(typed), describe(contender.model)
    widen = {"float16": widen_float16, "bfloat16": widen_bfloat16}.get(precision)
    left = kept if precision in HALF else _left_alone(contender.model, precision)
    return {
        "num_parameters": original.num_parameters,
        "opset": [original.opset, summary.opset],
        "num_layers": len(summary.layers),
        "num_layers_as_asked": _count_as_asked(summary, precision),
        "layers_kept": {
            layer.name: left.get(layer.name, "") for layer in summary.layers if layer.name in left
        },
        "num_nodes": summary.num_nodes,
        "num_nodes_kept": len(kept),
        "kept_by_data": sorted(node for node, reason in kept.items() if " reaches " in reason),
        # Rounding between FP16 nodes is not put back where there are FP16 quantizers.
        "rounded": errors(expected, _run(widen(typed), contender.judged)) if widen else None,
        # BF16 is not run without rounding: ONNX Runtime has no kernels for it.
        "onnxruntime": errors(expected, _run(typed, contender.judged)) if precision != "bfloat16" else None,
        "built": _build(typed, contender),
    }


def _count_as_asked(summary: GraphSummary, precision: str) -> int:
    if precision in WEIGHT_ONLY:
        return summary.stored_narrow.get(WEIGHT_ONLY[precision], 0)
    return summary.counts.get({"float8": "float8e4m3fn"}.get(precision, precision), 0)


def _left_alone(model: onnx.ModelProto, precision: str) -> Mapping[str, str]:
    """Return the layers that are not for a narrow type, each with the reason."""
    prepared = prepare(model)
    if precision in WEIGHT_ONLY:
        others = {layer.name: _NO_PRODUCT for layer in describe(prepared).layers if layer.op_type == "Conv"}
        return others | plan_weights(prepared, _BLOCK_SIZE).left_alone
    return plan_placement(prepared, products_only=precision == "float8").left_alone


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
        "proof": str(made.proof),
    }
