"""The networks that are calibrated twice, and the batches that both calibrators see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.collection.inputs import joined_windows
from benchmarks.networks.whisper_encoder import NUM_MEL_FRAMES, whisper_encoder
from trtforge.audio import ClipSet, LogMel
from trtforge.engine.calibration_batches import batches_of_shape
from trtforge.feeds import ArrayFeeds, Arrays
from trtforge.graph import prepare
from trtforge.model import load_model, model_inputs
from trtforge.profiles import OptimizationProfile, ShapeRange

if TYPE_CHECKING:
    import onnx

ROOT = Path(__file__).parents[2]
RECOGNISER = ROOT / "examples/models/asr_en/asr_en.onnx"
CALIBRATION_SET = ROOT / "calibration_sets/podcast_en"
TEST_SET = ROOT / "calibration_sets/podcast_en_test"

NETWORKS = ("recogniser", "convolutions", "whisper_tiny_encoder")
TITLES = {
    "recogniser": "the bundled recogniser",
    "convolutions": "11 convolutions of 512 channels, kernel 17, each with ReLU; random weights",
    "whisper_tiny_encoder": "an encoder of Whisper-tiny's shape; random weights",
}

_CONVOLUTIONS, _CHANNELS, _KERNEL = 11, 512, 17
_CONVOLUTION_FRAMES, _CONVOLUTION_BATCHES = 1504, 4
# Lengths that the recogniser's engine accepts, in frames: all clips of both sets, and what tests feed.
_RECOGNISER_MIN, _RECOGNISER_OPT, _RECOGNISER_MAX = 64, 512, 1024
# More than any batch of these networks takes: four windows of 30 s, and no clip is shorter than 3 s.
_CLIPS_A_BATCH = 40


@dataclass(frozen=True)
class Subject:
    """A network with what it is calibrated on.

    Parameters
    ----------
    name : one of `NETWORKS`.
    model : the prepared float32 network.
    profile : the shapes of its engines; its optimal one is the shape of every batch.
    batches : the inputs, in the order in which both calibrators see them.
    has_words : whether its output is read as text.
    """

    name: str
    model: onnx.ModelProto
    profile: OptimizationProfile
    batches: tuple[Arrays, ...]
    has_words: bool = False


def make_subject(name: str, *, limit: int | None = None) -> Subject:
    """Build a network of the benchmark and cut the clips of the calibration set into its batches.

    Parameters
    ----------
    name : one of `NETWORKS`.
    limit : at most so many batches.
    """
    feeds = _clips(None if limit is None else limit * _CLIPS_A_BATCH)
    if name == "recogniser":
        model = prepare(load_model(RECOGNISER))
        profile = _profile(model, _RECOGNISER_MIN, _RECOGNISER_OPT, _RECOGNISER_MAX, max_batch=8)
        (ranges,) = profile.shapes.values()
        (spec,) = model_inputs(model)
        batches = batches_of_shape(feeds, (spec,), {spec.name: ranges.opt})
        return Subject(name, model, profile, tuple(islice(batches, limit)), has_words=True)
    model, num_frames = (
        (whisper_encoder(), NUM_MEL_FRAMES)
        if name == "whisper_tiny_encoder"
        else (convolution_stack(), _CONVOLUTION_FRAMES)
    )
    model = prepare(model)
    profile = _profile(model, num_frames, num_frames, num_frames, max_batch=4)
    most = _CONVOLUTION_BATCHES if name == "convolutions" else None
    stacked = _stacked(joined_windows(feeds, num_frames), 4, model_inputs(model)[0].name)
    return Subject(name, model, profile, tuple(islice(islice(stacked, most), limit)))


def convolution_stack(
    num_layers: int = _CONVOLUTIONS, channels: int = _CHANNELS, kernel: int = _KERNEL, *, seed: int = 0
) -> onnx.ModelProto:
    """Return 1-D convolutions, each with ReLU, on ``mel`` [batch, 80, frames], the last without ReLU.

    Weights are Gaussian, scaled by the square root of 2 over the fan-in, so that activations keep their size.

    References
    ----------
    K. He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2.
    """
    import onnx
    from onnx import TensorProto, helper

    rng = np.random.default_rng(seed)
    nodes, weights, taken, previous = [], [], 80, "mel"
    for index in range(num_layers):
        last = index == num_layers - 1
        values = rng.standard_normal((channels, taken, kernel), np.float32)
        values *= np.float32((2 / (taken * kernel)) ** 0.5)
        bias = rng.standard_normal(channels, np.float32) * np.float32(0.1)
        weights += [_constant(f"w{index}", values), _constant(f"b{index}", bias)]
        made = "hidden" if last else f"conv{index}"
        side = kernel // 2
        node = helper.make_node(
            "Conv", [previous, f"w{index}", f"b{index}"], [made], name=made, pads=[side, kernel - 1 - side]
        )
        nodes.append(node)
        if not last:
            previous = f"relu{index}"
            nodes.append(helper.make_node("Relu", [made], [previous], name=previous))
        taken = channels
    graph = helper.make_graph(
        nodes,
        "convolution_stack",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", 80, "frames"])],
        [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["batch", channels, "frames"])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


@cache
def _clips(count: int | None) -> ArrayFeeds:
    # Kept for the next network: reading the clips takes longer than counting their activations.
    feeds = ClipSet.load(CALIBRATION_SET)[:count].feeds(LogMel.for_model(RECOGNISER))
    return ArrayFeeds([feed.arrays for feed in feeds])


def _constant(name: str, values: NDArray[Any]) -> onnx.TensorProto:
    import onnx

    return onnx.numpy_helper.from_array(values, name)


def _profile(model: onnx.ModelProto, low: int, opt: int, high: int, *, max_batch: int) -> OptimizationProfile:
    (spec,) = model_inputs(model)

    def shape(batch: int, num_frames: int) -> tuple[int, ...]:
        return (batch, int(spec.shape[1]), num_frames)

    ranges = ShapeRange(shape(1, low), shape(max_batch, opt), shape(max_batch, high))
    return OptimizationProfile({spec.name: ranges})


def _stacked(
    windows: Iterator[NDArray[np.float32]], batch: int, name: str
) -> Iterator[dict[str, NDArray[np.float32]]]:
    rows: list[NDArray[np.float32]] = []
    for window in windows:
        rows.append(window)
        if len(rows) == batch:
            yield {name: np.stack(rows)}
            rows = []


def total_rows(batches: Sequence[Arrays]) -> int:
    """Count the rows of all batches."""
    return sum(len(next(iter(batch.values()))) for batch in batches)
