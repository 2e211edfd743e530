"""SmoothQuant, its strength searched on calibration data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtforge._progress import OnProgress
from trtforge.calibration.channel_rows import collect_channel_rows
from trtforge.calibration.collect import DEFAULT_ACTIVATION_BYTES
from trtforge.errors import QuantizationError
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.graph import prepare
from trtforge.graph.smoothing import (
    ALPHAS,
    SmoothingChoice,
    choose_smoothing,
    smooth_graph,
    smoothing_groups,
    weights_of,
)
from trtforge.model import ModelSource, load_model

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Smoothing:
    """A smoothed network, and what was chosen for it.

    Parameters
    ----------
    model : the network, prepared; it gives the same numbers as before, up to rounding.
    choices : name of each normalised tensor that products alone read, to what the search found.
    """

    model: onnx.ModelProto
    choices: Mapping[str, SmoothingChoice]

    def __repr__(self) -> str:
        changed = [choice for choice in self.choices.values() if choice.alpha is not None]
        return f"Smoothing({len(changed)} of {len(self.choices)} tensors changed)"


def smooth(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    *,
    alphas: Sequence[float] = ALPHAS,
    exclude: Sequence[str] = (),
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    on_progress: OnProgress | None = None,
) -> Smoothing:
    """Move outlier channels from what products read after a normalisation into the products' weights.

    INT8 gives an activation one scale, so a few channels that are far larger than the others leave these with
    few levels; weights have a scale for each output channel and room to take the difference. For each
    normalised tensor the strength is the one whose quantized products come closest to those in FP32 on rows
    sampled from the feeds, and nothing is changed where nothing is gained. Calibrate and quantize the network
    that is returned: the scales of the old one do not fit it.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32.
    feeds : what it will be calibrated on, as for `trtforge.calibrate`.
    alphas : strengths to try, 0 (all in the activations) to 1 (all in the weights).
    exclude : names or shell patterns of nodes that stay unquantized.
    activation_bytes : bound on the activations of one batch held at once, as for `trtforge.collect`.
    on_progress : called with clips done and clips in all.

    Raises
    ------
    ModelError : the network cannot be read or run.
    InputError : the feeds do not fit the network.
    CalibrationError : nothing was observed, or too many activations are not finite.
    QuantizationError : no normalised tensor is read by products alone, a name in ``exclude`` matches no node,
        or an alpha is outside 0 to 1.

    References
    ----------
    G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
    Models", ICML 2023, arXiv:2211.10438.
    """
    prepared = prepare(load_model(model))
    groups = smoothing_groups(prepared, exclude=exclude)
    if not groups:
        raise QuantizationError(
            "the network has no normalised tensor that products alone read: nothing to smooth",
            hint="quantize it as it is",
        )
    seen = collect_channel_rows(
        prepared,
        as_feeds(feeds),
        [group.tensor for group in groups],
        activation_bytes=activation_bytes,
        on_progress=on_progress,
    )
    choices = {
        group.tensor: choose_smoothing(
            seen[group.tensor].rows, seen[group.tensor].peaks, weights_of(group, prepared), alphas=alphas
        )
        for group in groups
    }
    changed = {name: choice.factors for name, choice in choices.items() if choice.alpha is not None}
    return Smoothing(smooth_graph(prepared, changed), choices)
