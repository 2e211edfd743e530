"""The networks whose speed is published, with what they are quantized on and run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.collection.inputs import joined_windows
from benchmarks.native_calibrator.networks import convolution_stack
from benchmarks.networks.whisper_encoder import NUM_MEL_FRAMES, EncoderShape, whisper_encoder
from trtforge.audio import ClipSet, LogMel
from trtforge.bench import BenchConfig, Case, Subject
from trtforge.external_data import save_model
from trtforge.feeds import ArrayFeeds
from trtforge.model import load_model, model_digest
from trtforge.pipeline import calibrate, quantize

if TYPE_CHECKING:
    import onnx

ROOT = Path(__file__).parents[2]
RECOGNISER = ROOT / "examples/models/asr_en/asr_en.onnx"
CALIBRATION_SET = ROOT / "calibration_sets/podcast_en"
TEST_SET = ROOT / "calibration_sets/podcast_en_test"
BATCHES = (1, 8, 16, 32)
# Every clip of the test set is shorter.
RECOGNISER_FRAMES = 1024
CONVOLUTION_FRAMES = 1504
_MODULES = "benchmarks.speed.modules"
_NUM_ROWS = 32
_TINY = EncoderShape()
_BASE = EncoderShape(num_layers=6, width=512, num_heads=8)
_LARGE = EncoderShape(num_layers=32, width=1280, num_heads=20, mel_bins=128)

TITLES = {
    "recogniser": "bundled recogniser",
    "convolutions": "1-D convolution stack",
    "whisper-tiny": "Whisper-tiny encoder",
    "whisper-base": "Whisper-base encoder",
    "whisper-large-v3": "Whisper-large-v3 encoder",
}


def make_subject(
    name: str,
    folder: Path,
    *,
    config: BenchConfig,
    batches: tuple[int, ...] = BATCHES,
    num_clips: int | None = None,
) -> Subject:
    """Return a network of the benchmark; what it needs is made in the folder, or taken from there.

    Parameters
    ----------
    name : a key of `TITLES`.
    folder : where networks are written, quantized and not.
    config : how it is run.
    batches : the batch sizes.
    num_clips : word errors are counted on so many clips; all by default, 0 for none.
    """
    title = TITLES[name]
    if name == "recogniser":
        model = load_model(RECOGNISER)
        clips = ClipSet.load(TEST_SET)[:num_clips]
        frames, mels, about = RECOGNISER_FRAMES, 80, "The recogniser of examples/models/asr_en."
        return replace(
            _subject(title, model, folder, frames, mels, batches, "recogniser", about, config, limit=None),
            clips=clips if len(clips) else None,
        )
    if name == "convolutions":
        about = "11 convolutions of 512 channels, kernel 17, each but the last with ReLU; random weights."
        return _subject(
            title,
            convolution_stack(),
            folder,
            CONVOLUTION_FRAMES,
            80,
            batches,
            "convolution_stack",
            about,
            config,
            limit=16,
        )
    shape = {"whisper-tiny": _TINY, "whisper-base": _BASE, "whisper-large-v3": _LARGE}[name]
    about = (
        f"An encoder of this shape: {shape.num_layers} layers, width {shape.width}, {shape.num_heads} heads; "
        "random weights."
    )
    limit = 2 if shape is _LARGE else 8
    model_of = whisper_encoder(shape)
    return _subject(
        title,
        model_of,
        folder,
        NUM_MEL_FRAMES,
        shape.mel_bins,
        batches,
        "whisper_encoder",
        about,
        config,
        limit=limit,
    )


def _subject(
    title: str,
    model: onnx.ModelProto,
    folder: Path,
    frames: int,
    mels: int,
    batches: tuple[int, ...],
    function: str,
    about: str,
    config: BenchConfig,
    *,
    limit: int | None,
) -> Subject:
    """Write the network, quantized and not; calibrate on so many windows, or on all clips as they are."""
    stem = f"{title.replace(' ', '_')}.{model_digest(model)[:12]}"
    plain, quantized, scales_path = (
        folder / f"{stem}{end}" for end in (".onnx", ".qdq.onnx", ".scales.json")
    )
    if not plain.is_file():
        save_model(model, plain)
    if not quantized.is_file() or not scales_path.is_file():
        scales = calibrate(model, _calibration(mels, frames, limit))
        scales.save(scales_path)
        save_model(quantize(model, scales, rest="float32"), quantized)
    return Subject(
        name=title,
        model=plain,
        quantized=quantized,
        scales=scales_path,
        cases=tuple(Case(batch, frames) for batch in batches),
        constructor=f"{_MODULES}:{function}",
        paths=(str(ROOT),),
        rows=_rows(mels, frames),
        inputs_are=f"speech of the bundled test set, {mels} log-mel bands, one clip after another",
        config=config,
        about=about,
    )


def _calibration(mels: int, frames: int, limit: int | None) -> Any:
    features = LogMel(num_mels=mels)
    feeds = ClipSet.load(CALIBRATION_SET).feeds(features)
    if limit is None:
        return feeds
    return ArrayFeeds(
        [{"mel": window[None]} for window in islice(_windows(CALIBRATION_SET, mels, frames), limit)]
    )


def _rows(mels: int, frames: int) -> Callable[[Case], dict[str, NDArray[Any]]]:
    held: list[NDArray[np.float32]] = []

    def rows(case: Case) -> dict[str, NDArray[Any]]:
        if not held:
            held.append(np.stack(list(islice(_windows(TEST_SET, mels, frames), _NUM_ROWS))))
        return {"mel": held[0]}

    return rows


def _windows(folder: Path, mels: int, frames: int) -> Iterator[NDArray[np.float32]]:
    return joined_windows(ClipSet.load(folder).feeds(LogMel(num_mels=mels)), frames)
