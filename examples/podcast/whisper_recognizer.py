"""Recognise with a Whisper checkpoint."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

from examples.podcast.digests import checkpoint_digest
from trtforge.errors import ClipError
from trtforge.speech import Whisper, Word
from trtforge.speech.whisper import TranscribeSettings

Samples: TypeAlias = NDArray[np.float32]

_PIECES_AT_A_TIME = 16


class WhisperRecognizer:
    """A Whisper checkpoint in ONNX Runtime, or its engines on a GPU.

    Parameters
    ----------
    folder : a `transformers` checkpoint, or what `trtforge.speech.whisper.export_whisper` wrote.
    language : that is spoken, as Whisper names it, such as ``en``.
    whisper : loaded already, such as with ``Whisper.load(folder, device="gpu")``; for the CPU where None.
    settings : of decoding; the language above is set in them.

    Raises
    ------
    ModelError, MissingExtraError : as from `Whisper.load`.
    """

    punctuated, sampling_rate = True, 16_000

    def __init__(
        self,
        folder: Path,
        *,
        language: str = "en",
        whisper: Whisper | None = None,
        settings: TranscribeSettings | None = None,
    ) -> None:
        self.name, self.language = folder.name, language
        self._whisper = whisper or Whisper.load(folder)
        self._settings = replace(settings or TranscribeSettings(), language=language)
        self.digest = checkpoint_digest(folder, self._settings)

    def close(self) -> None:
        """Give the networks back, those that were given too."""
        self._whisper.close()

    def recognise(self, pieces: Iterable[Samples]) -> Iterator[tuple[Word, ...]]:
        """Yield the words of each piece; sixteen of them share the rows of the decoder."""
        waiting = iter(pieces)
        while batch := [_wav(piece) for piece in islice(waiting, _PIECES_AT_A_TIME)]:
            for transcript in self._whisper.transcribe(batch, self._settings):
                if isinstance(transcript, ClipError):
                    raise transcript
                yield transcript.words


def _wav(piece: Samples) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, piece, 16_000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()
