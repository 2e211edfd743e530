"""The networks whose quantization is compared, and what they are calibrated and judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.collection.inputs import joined_windows
from benchmarks.networks import shapes_for_quality as shapes
from benchmarks.networks.whisper_encoder import MEL_BINS, NUM_MEL_FRAMES, EncoderShape, whisper_encoder
from trtforge.graph import prepare
from trtforge.model import load_model

if TYPE_CHECKING:
    import onnx

ROOT = Path(__file__).parents[2]
RECOGNISER = ROOT / "examples/models/asr_en/asr_en.onnx"
NUM_CALIBRATION, NUM_TEST = 4, 2

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """One network with its data, the same for every contender.

    Parameters
    ----------
    title : for the page.
    make : returns the network, prepared, so that all start from folded constants.
    calibration, test : return batches of one.
    """

    title: str
    make: Callable[[], onnx.ModelProto]
    calibration: Callable[[], list[Arrays]]
    test: Callable[[], list[Arrays]]


def _case(
    title: str, make: Callable[[], onnx.ModelProto], draw: Callable[[np.random.Generator], Arrays]
) -> Case:
    def batches(seed: int, number: int) -> list[Arrays]:
        rng = np.random.default_rng(seed)
        return [draw(rng) for _ in range(number)]

    return Case(
        title,
        lambda: prepare(make()),
        lambda: batches(1, NUM_CALIBRATION),
        lambda: batches(2, NUM_TEST),
    )


def _mel(frames: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: {"mel": rng.standard_normal((1, MEL_BINS, frames), np.float32)}


def _image(rng: np.random.Generator) -> Arrays:
    return {"image": rng.standard_normal((1, 3, shapes.IMAGE_SIZE, shapes.IMAGE_SIZE), np.float32)}


def _tokens(rng: np.random.Generator) -> Arrays:
    return {"tokens": rng.integers(0, shapes.VOCABULARY, (1, shapes.NUM_TOKENS))}


def _speech(clip_set: str, number: int) -> list[Arrays]:
    from trtforge.audio import ClipSet, LogMel

    feeds = ClipSet.load(ROOT / "calibration_sets" / clip_set).feeds(LogMel.for_model(RECOGNISER))
    # Other calibrators want inputs of one length.
    return [{"mel": window[np.newaxis]} for window in islice(joined_windows(feeds, NUM_MEL_FRAMES), number)]


def _with_outliers() -> onnx.ModelProto:
    model = whisper_encoder()
    shapes.with_outlier_channels(model)
    return model


CASES: dict[str, Case] = {
    "whisper_tiny": _case("An encoder of Whisper-tiny's shape", whisper_encoder, _mel(NUM_MEL_FRAMES)),
    "whisper_tiny_outliers": _case(
        "The same with outlier channels after each normalisation", _with_outliers, _mel(NUM_MEL_FRAMES)
    ),
    "whisper_base": _case(
        "An encoder of Whisper-base's shape",
        lambda: whisper_encoder(EncoderShape(num_layers=6, width=512, num_heads=8)),
        _mel(NUM_MEL_FRAMES),
    ),
    "conformer": _case("A small Conformer", shapes.small_conformer, _mel(shapes.NUM_MEL_FRAMES)),
    "mobilenet": _case("A network of MobileNet's shape", shapes.small_mobilenet, _image),
    "bert": _case("An encoder of BERT's shape", shapes.small_bert, _tokens),
    "recogniser": Case(
        "The bundled recogniser",
        lambda: prepare(load_model(RECOGNISER)),
        lambda: _speech("podcast_en", 2 * NUM_CALIBRATION),
        lambda: _speech("podcast_en_test", NUM_TEST),
    ),
}


def save_batches(path: Path, batches: list[Arrays]) -> None:
    """Write batches so that any interpreter with NumPy reads them."""
    stored: dict[str, Any] = {
        f"{index}/{name}": value for index, batch in enumerate(batches) for name, value in batch.items()
    }
    np.savez(path, **stored)
