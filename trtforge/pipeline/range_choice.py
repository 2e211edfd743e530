"""Choose INT8 ranges, by what they do to the network's output where a tensor's own values do not tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from trtforge.accuracy.metrics import OutputMetrics, measure_output
from trtforge.calibration import Method, Observations, choose
from trtforge.calibration.choose import check_method
from trtforge.calibration.range_error import PoorRange, poor_ranges
from trtforge.errors import CalibrationError, TrtforgeError
from trtforge.feeds import Arrays, Feeds
from trtforge.graph import Attention, plan_placement, prepare, tensors_to_observe
from trtforge.model import ModelSource, load_model, model_inputs
from trtforge.pipeline.quantization import quantize
from trtforge.report.formatting import plural
from trtforge.runtime import OnnxRunner
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

AutoMethod: TypeAlias = Method | Literal["auto"]
AUTO: Literal["auto"] = "auto"

_FIRST: Method = "entropy"
_RIVALS: tuple[Method, ...] = ("mse", "max")
# What outputs are compared on, and what a rival must gain.
_MAX_FEEDS = 8
_LEAST_GAIN_DB = 1.0
_SNR_LIMITS_DB = (-100.0, 200.0)
# Outputs are compared from less on than is worth a remark where nothing else is tried.
_COMPARED = {"below_db": 32.0, "gain_db": 4.0}


@dataclass(frozen=True)
class RangeChoice:
    """Ranges, and what there is to say of them.

    Parameters
    ----------
    scales : the ranges.
    remarks : sentences on tensors whose range costs more than another would.
    """

    scales: Scales
    remarks: tuple[str, ...] = ()


def check_auto_method(method: str, percentile: float) -> None:
    """Refuse at once what `choose_ranges` would refuse after the clips have run.

    Raises
    ------
    ConfigError : the method is unknown, or ``percentile`` is out of range.
    """
    check_method(_FIRST if method == AUTO else method, percentile)


def scales_from(
    observations: Observations,
    model: ModelSource,
    *,
    method: Method = "entropy",
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    attention: Attention = "float",
) -> Scales:
    """Choose the ranges of those observed tensors that INT8 touches.

    Parameters
    ----------
    observations : what `observe` counted, of whichever tensors.
    model, exclude, attention : as given to `observe`.
    method, percentile : as for `trtforge.calibration.choose`.

    Raises
    ------
    ConfigError : the method is unknown, or ``percentile`` is out of range.
    CalibrationError : a tensor was not observed, or the input was nothing but zeros.
    """
    source = load_model(model)
    refuse_zero_inputs(observations, source)
    names = tensors_to_observe(prepare(source), exclude=exclude, attention=attention)
    return choose(observations.only(names), method, percentile=percentile)


def choose_ranges(
    observations: Observations,
    model: ModelSource,
    feeds: Feeds,
    *,
    method: AutoMethod = AUTO,
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    attention: Attention = "float",
) -> RangeChoice:
    """Choose ranges as `scales_from` does, or with ``auto`` by the network's output where that is needed.

    ``auto`` takes ``entropy``. Where that leaves a tensor below 32 dB, and another range would gain more than
    4 dB (`trtforge.calibration.range_error.poor_ranges`), the error of the tensor alone does
    not say what the network loses: the network is then quantized by ``entropy``, ``mse`` and ``max`` and run
    in ONNX Runtime on up to eight feeds, and that method is taken whose outputs are nearest to FP32's, by the
    mean SNR of those that INT8 changes; another one than ``entropy`` must gain 1 dB.

    Parameters
    ----------
    observations, model, percentile, exclude, attention : as for `scales_from`.
    feeds : what was observed.
    method : ``auto``, ``entropy``, ``percentile``, ``mse`` or ``max``.

    Raises
    ------
    ConfigError, CalibrationError : as for `scales_from`.
    """
    source = load_model(model)
    first = _FIRST if method == AUTO else method

    def by(one: Method) -> Scales:
        return scales_from(
            observations, source, method=one, percentile=percentile, exclude=exclude, attention=attention
        )

    scales = by(first)
    poor = _poor(observations, scales, source, exclude, attention)
    told = _told(first, poor, len(scales)) if poor else ""
    if method != AUTO:
        return RangeChoice(scales, (f"{told} Compare method='mse' (--method mse).",) if poor else ())
    near = poor or _poor(observations, scales, source, exclude, attention, **_COMPARED)
    if not near:
        return RangeChoice(scales)
    try:
        candidates = {first: scales, **{rival: by(rival) for rival in _RIVALS}}
        batches = list(islice(_usable(feeds, observations), _MAX_FEEDS))
        found = _output_snrs(source, candidates, batches, exclude, attention)
    except TrtforgeError as error:  # what was chosen stands all the same
        reason = f"Other methods were not compared: {error.message}"
        return RangeChoice(scales, (f"{told} {reason}",) if poor else ())
    best = max(found, key=lambda name: found[name])
    if found[best] < found[first] + _LEAST_GAIN_DB:
        best = first
    if best == first and not poor:
        return RangeChoice(scales)
    figures = ", ".join(f"{name!r} {snr:.1f}" for name, snr in found.items())
    return RangeChoice(
        candidates[best],
        (
            f"{told or _told(first, near, len(scales))} {best!r} was taken, by the SNR of the outputs on "
            f"{plural(len(batches), 'feed')}, in dB: {figures}.",
        ),
    )


def _told(method: str, poor: Sequence[PoorRange], num_tensors: int) -> str:
    worst = poor[0]
    return (
        f"By {method}, {len(poor)} of {num_tensors} tensors get a range that costs more than another "
        f"would: {worst.tensor!r} {worst.snr_db:.0f} dB where 'mse' gives {worst.best_snr_db:.0f} dB."
    )


def refuse_zero_inputs(observations: Observations, source: onnx.ModelProto) -> None:
    """Raise CalibrationError where the input was nothing but zeros.

    One input of several may well be zero, as the caches of a streaming network are at first.
    """
    names = [spec.name for spec in model_inputs(source) if spec.name in observations.tensors]
    if names and all(observations.tensors[name].observed_max == 0 for name in names):
        told = ", ".join(map(repr, names))
        raise CalibrationError(
            f"input {told} was nothing but zeros in all {observations.num_clips} clips",
            hint="listen to the clips: silence says nothing of the ranges that speech needs",
        )


def _poor(
    observations: Observations,
    scales: Scales,
    source: onnx.ModelProto,
    exclude: Sequence[str],
    attention: Attention,
    **limits: float,
) -> tuple[PoorRange, ...]:
    poor = poor_ranges(observations, scales, **limits)
    if poor and attention == "int8":
        # Of what a softmax makes, the whole range is kept, whatever was chosen.
        plan = plan_placement(prepare(source), exclude=exclude, attention=attention)
        poor = tuple(row for row in poor if row.tensor not in plan.unclipped)
    return poor


def _usable(feeds: Feeds, observations: Observations) -> Iterator[Arrays]:
    for feed in feeds:
        if not any(clip in observations.rejected for clip in feed.clip_ids):
            yield feed.arrays


def _output_snrs(
    source: onnx.ModelProto,
    candidates: Mapping[Method, Scales],
    batches: Sequence[Arrays],
    exclude: Sequence[str],
    attention: Attention,
) -> dict[Method, float]:
    """Return the mean SNR of the outputs by each of the ranges, in dB, each within -100 and 200.

    Outputs that INT8 changes by none of the ranges, or that are not finite in FP32, say nothing; where INT8
    makes an output infinite or NaN, that counts as the least.

    Raises
    ------
    CalibrationError : no output is left.
    """
    with OnnxRunner(source) as runner:
        wanted = [runner.run(batch) for batch in batches]
    found: dict[Method, dict[str, float]] = {}
    for name, scales in candidates.items():
        network = quantize(source, scales, rest="float32", exclude=exclude, attention=attention)
        totals: dict[str, OutputMetrics] = {}
        broken: set[str] = set()
        with OnnxRunner(network) as runner:
            for batch, reference in zip(batches, wanted, strict=True):
                for output, value in runner.run(batch).items():
                    if _is_real(value):
                        measured = measure_output(reference[output], value)
                        totals[output] = totals.get(output, OutputMetrics()) + measured
                        if (np.isfinite(reference[output]) & ~np.isfinite(value)).any():
                            broken.add(output)
        found[name] = {
            output: -math.inf if output in broken else total.snr_db for output, total in totals.items()
        }
    telling = sorted(
        {output for snrs in found.values() for output, snr in snrs.items() if math.isfinite(snr)}
    )
    if not telling:
        raise CalibrationError("the network has no floating-point output that INT8 changes")
    return {
        name: float(np.mean(np.clip([snrs[output] for output in telling], *_SNR_LIMITS_DB)))
        for name, snrs in found.items()
    }


def _is_real(value: Any) -> bool:
    return bool(np.issubdtype(value.dtype, np.floating))
