"""Turn regions of speech into words with times."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from examples.podcast.known_words import known_share
from examples.podcast.plain_text import plain
from examples.podcast.records import Passage, Region, Transcript, Word
from trtforge._progress import OnProgress
from trtforge.audio import LogMel
from trtforge.errors import ClipError
from trtforge.model import load_model, model_digest
from trtforge.runtime import OnnxRunner
from trtforge.speech import CtcDecoder, CtcStream
from trtforge.speech import Word as SpokenWord

BUNDLED = Path(__file__).parents[1] / "models/asr_en/asr_en.onnx"

MIN_JUDGED_WORDS = 10
MIN_KNOWN_SHARE = 0.55

Samples = NDArray[np.float32]


class Recognizer(Protocol):
    """What recognises speech; Whisper and others fit in by these few names.

    Attributes
    ----------
    name : for people.
    digest : of all that its words depend on; kept results are found by it.
    sampling_rate : that it takes, in Hz.
    language : BCP 47 tag of what it writes.
    punctuated : whether it writes capitals and punctuation.
    """

    name: str
    digest: str
    sampling_rate: int
    language: str
    punctuated: bool

    def recognise(self, pieces: Iterable[Samples]) -> Iterator[tuple[SpokenWord, ...]]:
        """Yield the words of each piece, their times counted from its start.

        Parameters
        ----------
        pieces : float32 [num_samples] each, of at most 20 s, in order; they are read when they are needed.
        """
        ...


class CtcRecognizer:
    """A CTC network in ONNX Runtime; the bundled recogniser of synthetic English by default.

    Each piece is recognised as a clip of its own, since that is what the network was trained on: normalized
    over the voice that speaks in it.

    Parameters
    ----------
    model : a network with the metadata that `LogMel.for_model` and `CtcDecoder.for_model` read.
    language : of the network.
    """

    punctuated = False

    def __init__(self, model: Path = BUNDLED, *, language: str = "en") -> None:
        network = load_model(model)
        self.name, self.digest, self.language = model.stem, model_digest(network), language
        self._features, self._decoder = LogMel.for_model(network), CtcDecoder.for_model(network)
        # Pieces are short: each on a core of its own is faster than all cores on one.
        self._runner = OnnxRunner(network, num_threads=1)
        self.sampling_rate = self._features.sampling_rate

    def recognise(self, pieces: Iterable[Samples]) -> Iterator[tuple[SpokenWord, ...]]:
        """Yield the words of each piece; a few are recognised at a time."""
        num_workers = len(os.sched_getaffinity(0))
        under_way: deque[Future[tuple[SpokenWord, ...]]] = deque()
        with ThreadPoolExecutor(num_workers) as workers:
            for piece in pieces:
                under_way.append(workers.submit(self._words, piece))
                if len(under_way) > num_workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

    def close(self) -> None:
        """Give the network back."""
        self._runner.close()

    def _words(self, piece: Samples) -> tuple[SpokenWord, ...]:
        features, decoder = self._features, self._decoder
        step = decoder.frames_per_output * features.hop_length / features.sampling_rate
        scores = self._runner({features.input_name: features(piece)[None]})[decoder.output][0]
        stream = CtcStream(decoder, step)
        words = stream.push(scores)
        return (*words, *stream.finish())


def transcribe(
    audio: Path, regions: Sequence[Region], recognizer: Recognizer, on_progress: OnProgress
) -> Transcript:
    """Recognise what is said in each region; nothing outside of them is heard.

    Parameters
    ----------
    audio : 16 kHz mono file, of which one region is held at a time.
    regions : where someone speaks.
    recognizer : what recognises it.
    on_progress : called with regions done and in all.

    Raises
    ------
    ClipError : there is no speech, or what was recognised is not of the recogniser's language.
    """
    if not regions:
        raise ClipError(
            "nobody speaks in the recording: it is silent, music or noise",
            hint="listen to it; no transcript was written",
        )
    passages = []
    words = recognizer.recognise(_pieces(audio, regions, recognizer.sampling_rate))
    for number, (region, found) in enumerate(zip(regions, words, strict=True), 1):
        passages.append(Passage(region.start, region.end, tuple(placed(found, region))))
        on_progress(number, len(regions))
    kept = tuple(passage for passage in passages if passage.words)
    if not kept:
        raise ClipError("no word was recognised in the recording")
    share = _require_language(kept, recognizer)
    return Transcript(recognizer.language, recognizer.name, recognizer.punctuated, round(share, 4), kept)


def _pieces(audio: Path, regions: Sequence[Region], sampling_rate: int) -> Iterator[Samples]:
    with soundfile.SoundFile(os.fsencode(audio)) as sound:
        if sound.samplerate != sampling_rate:
            raise ClipError(f"the recogniser takes {sampling_rate} Hz, the file has {sound.samplerate} Hz")
        for region in regions:
            start = round(region.start * sampling_rate)
            sound.seek(start)
            yield sound.read(round(region.end * sampling_rate) - start, dtype="float32")


def placed(words: Sequence[SpokenWord], region: Region) -> Iterator[Word]:
    """Yield words of a region with their times in the recording."""
    for word in words:
        start = min(region.start + word.start, region.end)
        text = plain(word.text)
        if not text:
            continue
        yield Word(text, round(start, 3), round(min(region.start + word.end, region.end), 3))


def _require_language(passages: Sequence[Passage], recognizer: Recognizer) -> float:
    words = [word.text for passage in passages for word in passage.words]
    language = recognizer.language
    share = known_share(words, language)
    if len(words) >= MIN_JUDGED_WORDS and share < MIN_KNOWN_SHARE:
        raise ClipError(
            f"what was recognised is not {language!r}: {100 * share:.0f} % of its letters stand in known "
            f"words, at least {100 * MIN_KNOWN_SHARE:.0f} % are wanted",
            hint="the speech is in another language, or too noisy for this recogniser; no transcript was "
            "written",
        )
    return share
