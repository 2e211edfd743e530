"""From a network and clips to INT8 ranges, and from those to a quantized network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from trtforge._progress import OnProgress
from trtforge.audio import ClipSet, features_for_model
from trtforge.calibration import Method, Observations, choose, collect
from trtforge.errors import ScalesError
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.graph import prepare, quantize_graph, tensors_to_observe
from trtforge.model import ModelSource, load_model, model_digest
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx


def observe(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    *,
    exclude: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Observations:
    """Run a network over feeds and count the magnitudes of every tensor that INT8 would touch.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32.
    feeds : what it is run on, such as ``ClipSet.feeds(...)``, or a list of mappings of input name to array.
    exclude : names or shell patterns of nodes that stay unquantized.
    on_progress : called with clips done and clips in all.

    Returns
    -------
    One histogram for each tensor; `trtforge.choose` makes `Scales` of them by any method.

    Raises
    ------
    ModelError : the network cannot be read or run.
    InputError : the feeds do not fit the network.
    CalibrationError : nothing was observed, or too many activations are not finite.
    """
    source = load_model(model)
    prepared = prepare(source)
    return collect(
        prepared,
        as_feeds(feeds),
        tensors_to_observe(prepared, exclude=exclude),
        model_sha256=model_digest(source),
        on_progress=on_progress,
    )


def observe_set(
    model: onnx.ModelProto,
    clips: ClipSet,
    *,
    exclude: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Observations:
    """Do as `observe`, with the features that the network names, and name the clips that the set left out."""
    feeds = clips.feeds(features_for_model(model))
    found = observe(model, feeds, exclude=exclude, on_progress=on_progress)
    return replace(found, rejected={**clips.rejected, **found.rejected})


def summarize_scales(scales: Scales) -> str:
    """Say in a few words what a calibration gave."""
    left_out = f", {len(scales.rejected)} left out" if scales.rejected else ""
    return f"{len(scales)} tensors on {scales.num_clips} clips, {scales.method}{left_out}"


def calibrate(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    *,
    method: Method = "entropy",
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Scales:
    """Choose INT8 ranges for a network from feeds that stand for its future input.

    Parameters
    ----------
    model, feeds, exclude, on_progress : as for `observe`.
    method : ``entropy``, ``percentile``, ``mse`` or ``max``.
    percentile : share of the magnitudes kept, in percent; for ``percentile`` alone.

    Raises
    ------
    ModelError, InputError, CalibrationError : as for `observe`.
    ConfigError : the method is unknown.
    """
    observations = observe(model, feeds, exclude=exclude, on_progress=on_progress)
    return choose(observations, method, percentile=percentile)


def quantize(
    model: ModelSource,
    scales: Scales,
    *,
    rest: Literal["float16", "float32"] = "float16",
    exclude: Sequence[str] = (),
) -> onnx.ModelProto:
    """Write INT8 into a network as Q/DQ pairs, where TensorRT fuses them.

    Parameters
    ----------
    model : the network that was calibrated, in FP32.
    scales : its ranges.
    rest : type of everything that is not INT8. Strongly typed libraries (TensorRT 11, TensorRT-RTX) run
        exactly what this says; TensorRT 8.6 takes ``float32`` and chooses FP16 by its builder flag.
    exclude : names or shell patterns of nodes that stay unquantized.

    Returns
    -------
    A new network; the one given is not changed. Its inputs and outputs keep their types.

    Raises
    ------
    ScalesError : the scales belong to another network, or one is missing.
    QuantizationError : the network has nothing that can be quantized.
    """
    source = load_model(model)
    digest = model_digest(source)
    if scales.model_sha256 != digest:
        raise ScalesError(
            f"the scales belong to another network: {scales.model_sha256[:12]}, this one is {digest[:12]}",
            hint="calibrate this network; scales do not carry over, even after a small change",
        )
    return quantize_graph(prepare(source), scales, rest=rest, exclude=exclude)
