"""The networks whose precisions are timed, what they are calibrated on, and the shapes that are timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.native_calibrator.networks import RECOGNISER, convolution_stack, make_subject
from benchmarks.networks.whisper_encoder import NUM_MEL_FRAMES, EncoderShape, whisper_encoder
from trtforge.feeds import Arrays
from trtforge.graph import prepare
from trtforge.model import load_model
from trtforge.profiles import OptimizationProfile, ShapeRange

if TYPE_CHECKING:
    import onnx

# Whisper-large-v3 has 32 layers of this width.
LARGE = EncoderShape(num_layers=4, width=1280, num_heads=20, mel_bins=128)
_RECOGNISER_FRAMES, _STACK_FRAMES = 512, 1504
# Windows of 30 s.
_MAX_FRAMES = 3000


@dataclass(frozen=True)
class Subject:
    """A network with its data.

    Parameters
    ----------
    title : for the page.
    model : the float32 network, whose input is ``mel``.
    batches : what INT8 ranges are chosen on.
    profile : what its engines accept; they are tuned for its optimal shape.
    timed : shapes of ``mel`` that engines are timed at.
    """

    title: str
    model: onnx.ModelProto
    batches: tuple[Arrays, ...]
    profile: OptimizationProfile
    timed: tuple[tuple[int, ...], ...]


def _profile(bins: int, low: int, opt: int, high: int, batch: tuple[int, int, int]) -> OptimizationProfile:
    shapes = [(size, bins, length) for size, length in zip(batch, (low, opt, high), strict=True)]
    return OptimizationProfile({"mel": ShapeRange(*shapes)})


def _recogniser() -> Subject:
    frames = _RECOGNISER_FRAMES
    return Subject(
        "the bundled recogniser",
        load_model(RECOGNISER),
        make_subject("recogniser").batches,
        _profile(80, 64, frames, _MAX_FRAMES, (1, 16, 32)),
        tuple((batch, 80, length) for length in (frames, _MAX_FRAMES) for batch in (1, 8, 16, 32)),
    )


def _convolutions() -> Subject:
    frames = _STACK_FRAMES
    return Subject(
        "11 convolutions of 512 channels, kernel 17, each with ReLU; random weights",
        prepare(convolution_stack()),
        make_subject("convolutions").batches,
        _profile(80, frames, frames, frames, (1, 16, 16)),
        tuple((batch, 80, frames) for batch in (1, 16)),
    )


def _encoder(shape: EncoderShape = LARGE) -> Subject:
    rng = np.random.default_rng(0)
    draws = [{"mel": rng.standard_normal((1, shape.mel_bins, NUM_MEL_FRAMES), np.float32)} for _ in range(2)]
    return Subject(
        "an encoder of Whisper-large-v3's shape, 4 of 32 layers; random weights",
        whisper_encoder(shape),
        tuple(draws),
        _profile(shape.mel_bins, NUM_MEL_FRAMES, NUM_MEL_FRAMES, NUM_MEL_FRAMES, (1, 16, 16)),
        tuple((batch, shape.mel_bins, NUM_MEL_FRAMES) for batch in (1, 16)),
    )


SUBJECTS: Mapping[str, Callable[[], Subject]] = {
    "recogniser": _recogniser,
    "convolutions": _convolutions,
    "whisper_encoder": _encoder,
}
