"""What a request holds and what its answer is: audio to text, or arrays to arrays."""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trtforge.audio import LogMel, decode_audio
from trtforge.errors import ClipError, InputError
from trtforge.speech import CtcDecoder

_WARM_UP_SECONDS = 5.0


class Task(Protocol):
    """Makes a network's input of a request, and an answer of its outputs."""

    @property
    def input_name(self) -> str:
        """The network's input."""

    def warm_up(self) -> float:
        """Do what takes long the first time; return what `prepare` takes from then on, in seconds."""

    def prepare(self, content: Any, *, max_frames: int) -> NDArray[Any]:
        """Return the input of one row, [..., frames], of what a request holds."""

    def output_lengths(self, output: str, num_frames: Sequence[int]) -> list[int] | None:
        """Return the true length of each row of an output, as a `Batcher` asks for it."""

    def read(self, outputs: Mapping[str, NDArray[Any]]) -> Any:
        """Return the answer of the outputs of one row, each with a batch axis of 1."""


@dataclass(frozen=True)
class Transcription:
    """Bytes of an audio file to text, by a network trained with CTC.

    Parameters
    ----------
    features, decoder : as the network asks for them (`LogMel.for_model`, `CtcDecoder.for_model`).
    """

    features: LogMel
    decoder: CtcDecoder

    @property
    def input_name(self) -> str:
        """The network's input."""
        return self.features.input_name

    def warm_up(self) -> float:
        """Make features of a file of five seconds of silence, twice; return the second time."""
        content = silence(_WARM_UP_SECONDS, self.features.sampling_rate)
        took = 0.0
        for _ in range(2):
            begin = time.perf_counter()
            self.prepare(content, max_frames=1 << 20)
            took = time.perf_counter() - begin
        return took

    def prepare(self, content: Any, *, max_frames: int) -> NDArray[Any]:
        """Decode audio and make features.

        Raises
        ------
        ClipError : the bytes are no audio, are too little, or are longer than ``max_frames``.
        """
        if not isinstance(content, bytes) or not content:
            raise ClipError("a request for a transcript is the bytes of an audio file, and got none")
        features = self.features
        seconds = (max_frames * features.hop_length - 1) / features.sampling_rate
        audio = decode_audio(
            content, sampling_rate=features.sampling_rate, clip_id="request", max_duration=seconds
        )
        if len(audio) < features.min_num_samples:
            raise ClipError(
                f"clip 'request': {len(audio)} samples at {features.sampling_rate} Hz are too few; the "
                f"network wants {features.min_num_samples}"
            )
        mel: NDArray[np.float32] = features(audio)
        return mel

    def output_lengths(self, output: str, num_frames: Sequence[int]) -> list[int] | None:
        """Return lengths in output frames."""
        return self.decoder.output_lengths(output, num_frames)

    def read(self, outputs: Mapping[str, NDArray[Any]]) -> str:
        """Return the text."""
        return self.decoder.decode(outputs)[0]


@dataclass(frozen=True)
class Arrays:
    """Named arrays of one row to named arrays.

    Parameters
    ----------
    input_name : the network's one input.
    """

    input_name: str

    def warm_up(self) -> float:
        """Nothing takes long."""
        return 0.0

    def prepare(self, content: Any, *, max_frames: int) -> NDArray[Any]:
        """Take the array of the input.

        Raises
        ------
        InputError : the content is not a mapping with just that array.
        """
        if not isinstance(content, Mapping) or set(content) != {self.input_name}:
            given = sorted(content) if isinstance(content, Mapping) else type(content).__name__
            raise InputError(f"a request is the array {self.input_name!r} of one row, got {given}")
        return np.asarray(content[self.input_name])

    def output_lengths(self, output: str, num_frames: Sequence[int]) -> list[int] | None:
        """Leave outputs as they are."""
        return None

    def read(self, outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs without the batch axis."""
        return {name: value[0] for name, value in outputs.items()}


def silence(seconds: float, sampling_rate: int) -> bytes:
    """Return the bytes of a WAV file of silence."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        file.writeframes(bytes(2 * round(seconds * sampling_rate)))
    return stream.getvalue()
