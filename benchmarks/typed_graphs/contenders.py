"""The networks that are typed, each with what it is observed on and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.networks.bert import BertShape, bert
from benchmarks.networks.conformer import conformer
from benchmarks.networks.mobilenet import mobilenet
from benchmarks.networks.whisper_encoder import NUM_MEL_FRAMES, EncoderShape, whisper_encoder
from trtforge.audio import ClipSet, features_for_model
from trtforge.model import load_model
from trtforge.profiles import OptimizationProfile, ShapeRange

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, np.ndarray[Any, Any]]

ROOT = Path(__file__).parents[2]
_RECOGNISER = ROOT / "examples/models/asr_en/asr_en.onnx"
_NUM_CLIPS = 16
_SPEECH = OptimizationProfile({"mel": ShapeRange((1, 80, 16), (4, 80, 800), (8, 80, 3000))})


@dataclass(frozen=True)
class Contender:
    """A network, and arrays for its inputs.

    Parameters
    ----------
    model : the network in FP32.
    observed : what it is observed on.
    judged : other input, on which it is compared with itself in FP32.
    profile : what engines of it accept.
    """

    model: onnx.ModelProto
    observed: tuple[Arrays, ...]
    judged: tuple[Arrays, ...]
    profile: OptimizationProfile


def _recogniser() -> Contender:
    model = load_model(_RECOGNISER)
    features = features_for_model(model)
    sets = []
    for name in ("podcast_en", "podcast_en_test"):
        clips = ClipSet.load(ROOT / "calibration_sets" / name)
        chosen = clips.subset(clips.ids[:: len(clips) // _NUM_CLIPS][:_NUM_CLIPS])
        sets.append(tuple(feed.arrays for feed in chosen.feeds(features)))
    return Contender(model, sets[0], sets[1], _SPEECH)


def _random(
    model: onnx.ModelProto,
    draw: Callable[[np.random.Generator], Arrays],
    profile: OptimizationProfile,
) -> Contender:
    drawn = [draw(np.random.default_rng(seed)) for seed in range(4)]
    return Contender(model, tuple(drawn[:2]), tuple(drawn[2:]), profile)


def _normal(name: str, *shape: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: {name: rng.standard_normal(shape, np.float32)}


def _batches(*rest: int) -> ShapeRange:
    return ShapeRange((1, *rest), (4, *rest), (8, *rest))


def _whisper(shape: EncoderShape) -> Contender:
    draw = _normal("mel", 1, shape.mel_bins, NUM_MEL_FRAMES)
    sizes = _batches(shape.mel_bins, NUM_MEL_FRAMES)
    return _random(whisper_encoder(shape), draw, OptimizationProfile({"mel": sizes}))


def _conformer() -> Contender:
    return _random(conformer(), _normal("mel", 2, 80, 800), _SPEECH)


def _mobilenet() -> Contender:
    profile = OptimizationProfile({"image": _batches(3, 224, 224)})
    return _random(mobilenet(), _normal("image", 4, 3, 224, 224), profile)


def _bert() -> Contender:
    def draw(rng: np.random.Generator) -> Arrays:
        mask = np.ones((4, 64), np.int64)
        mask[1:, 40:] = 0
        return {"ids": rng.integers(0, BertShape().vocabulary, (4, 64)), "mask": mask}

    sizes = ShapeRange((1, 4), (4, 64), (8, 128))
    return _random(bert(), draw, OptimizationProfile({"ids": sizes, "mask": sizes}))


CONTENDERS: Mapping[str, Callable[[], Contender]] = {
    "bundled recogniser": _recogniser,
    "Whisper-tiny encoder": lambda: _whisper(EncoderShape()),
    "Whisper-base encoder": lambda: _whisper(EncoderShape(num_layers=6, width=512, num_heads=8)),
    "Conformer-S, 4 layers": _conformer,
    "MobileNetV2": _mobilenet,
    "BERT-mini": _bert,
}
