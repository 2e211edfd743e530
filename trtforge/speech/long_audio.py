"""Recognise recordings of any length in windows, as if they had been run whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.audio import LogMel
from trtforge.audio.decode import MAX_DURATION, AudioSource, audio_blocks
from trtforge.audio.feature_stream import BandStatistics, feature_blocks, measure_bands
from trtforge.errors import ConfigError
from trtforge.graph.receptive_field import ReceptiveField
from trtforge.speech.ctc import CtcDecoder
from trtforge.speech.ctc_stream import CtcStream
from trtforge.speech.stitching import Runner, stitch
from trtforge.speech.transcript import Transcript, Word
from trtforge.speech.windows import WindowPlan
from trtforge.units import Seconds


def transcribe_long(
    runner: Runner,
    audio: AudioSource,
    features: LogMel,
    decoder: CtcDecoder,
    *,
    window_seconds: float = 30.0,
    field: ReceptiveField | None = None,
    margin_seconds: float | None = None,
    max_batch: int = 1,
    max_duration: float = MAX_DURATION,
) -> Transcript:
    """Recognise a recording of any length.

    The recording is read twice, in blocks: once for the mean and deviation of each band over all of it,
    which `LogMel` normalizes by, and once for the features. Then the network runs on overlapping windows.
    Memory does not grow with the recording, but for the words.

    Parameters
    ----------
    runner : a `Session`, `OnnxRunner` or `TorchRunner` of a network whose output is
        ``[batch, time, symbols]``.
    audio : path of an audio file, or its bytes.
    features, decoder : of the network (`LogMel.for_model`, `CtcDecoder.for_model`).
    window_seconds : longest window.
    field : what the network's outputs depend on (`trtforge.graph.receptive_field`); with it the result is
        that of the uncut network, but for the rounding of sums.
    margin_seconds : what to leave at cut ends instead, where no field is known; then the result is only as
        good as the margin is long.
    max_batch : most windows to run at a time.
    max_duration : longest recording that is read, in seconds; 4 hours by default.

    Returns
    -------
    The words with their times.

    Raises
    ------
    ConfigError : not exactly one of ``field`` and ``margin_seconds`` is given, the field is not of this
        output, or the window is no longer than its margins.
    ClipError : the recording cannot be read; it is read to its end before the network runs.
    TrtforgeError : the runner failed.
    """
    stream = CtcStream(decoder, decoder.frames_per_output * features.hop_length / features.sampling_rate)
    words: list[Word] = []
    statistics = measure_bands(
        audio_blocks(audio, sampling_rate=features.sampling_rate, max_duration=max_duration), features
    )
    for scores in framewise(
        runner,
        audio,
        features,
        output=decoder.output,
        stride=decoder.frames_per_output,
        window_seconds=window_seconds,
        field=field,
        margin_seconds=margin_seconds,
        max_batch=max_batch,
        max_duration=max_duration,
        statistics=statistics,
    ):
        words += stream.push(scores)
    words += stream.finish()
    return Transcript(tuple(words), Seconds(statistics.num_samples / features.sampling_rate))


def framewise(
    runner: Runner,
    audio: AudioSource,
    features: LogMel,
    *,
    output: str,
    stride: int,
    window_seconds: float = 30.0,
    field: ReceptiveField | None = None,
    margin_seconds: float | None = None,
    max_batch: int = 1,
    max_duration: float = MAX_DURATION,
    statistics: BandStatistics | None = None,
) -> Iterator[NDArray[Any]]:
    """Run a network over a recording of any length and yield one of its outputs in order.

    Parameters
    ----------
    runner, audio, features, window_seconds, field, margin_seconds, max_batch, max_duration : as for
        `transcribe_long`.
    output : name of the output.
    stride : feature frames that make one output frame.
    statistics : of the recording, where they are known; else it is read once more for them.

    Returns
    -------
    Blocks of the output, without the batch axis: [time, ...] where the field's ``output_axis`` is 1.

    Raises
    ------
    ConfigError, ClipError, TrtforgeError : as for `transcribe_long`.
    """
    plan = _plan(features, stride, window_seconds, field, margin_seconds)

    def blocks() -> Iterator[NDArray[np.float32]]:
        return audio_blocks(audio, sampling_rate=features.sampling_rate, max_duration=max_duration)

    known = measure_bands(blocks(), features) if statistics is None else statistics
    yield from stitch(
        runner,
        feature_blocks(blocks(), features, known),
        plan,
        known.num_frames,
        input_name=features.input_name,
        output=output,
        output_axis=1 if field is None else field.output_axis,
        max_batch=max_batch,
    )


def _plan(
    features: LogMel,
    stride: int,
    window_seconds: float,
    field: ReceptiveField | None,
    margin_seconds: float | None,
) -> WindowPlan:
    if (field is None) == (margin_seconds is None):
        raise ConfigError(
            f"give either field or margin_seconds, got {'neither' if field is None else 'both'}",
            hint="field=trtforge.graph.receptive_field(model) makes the result exact where it is not None",
            settings=("field", "margin_seconds"),
        )
    frames_per_second = features.sampling_rate / features.hop_length
    for name, value in (("window_seconds", window_seconds), ("margin_seconds", margin_seconds)):
        if value is not None and not 0 <= value <= MAX_DURATION:
            raise ConfigError(f"{name} must lie in 0 to {MAX_DURATION:.0f}, got {value}", settings=(name,))
    window = int(window_seconds * frames_per_second)
    if field is None:
        margin = int(np.ceil((margin_seconds or 0.0) * frames_per_second))
        return WindowPlan(window, margin, margin, stride)
    if field.stride != stride:
        raise ConfigError(
            f"the field says {field.stride} feature frames to an output frame, the output is read as if "
            f"there were {stride}",
            hint="take the receptive field of the output that is read",
            settings=("field",),
        )
    return WindowPlan(window, field.left, field.right, stride)
