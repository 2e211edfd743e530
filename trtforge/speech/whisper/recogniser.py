"""Transcribe recordings with Whisper, windows of all of them in one batch of rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from trtforge._ahead import ahead
from trtforge._closing import Closing
from trtforge._progress import OnProgress
from trtforge.audio.decode import MAX_DURATION, AudioSource
from trtforge.errors import ClipError, ConfigError, ModelError
from trtforge.speech.generation import Generated, KeptRows, Request, RowDecoder, Sample, Seat, generate
from trtforge.speech.transcript import Transcript
from trtforge.speech.whisper.checkpoint import DESCRIPTION, WhisperDescription, export_whisper
from trtforge.speech.whisper.cutting import STEP, AudioWindow
from trtforge.speech.whisper.features import SAMPLING_RATE, whisper_features
from trtforge.speech.whisper.finishing import Finisher, Group, Task
from trtforge.speech.whisper.networks import Device, WhisperNetworks, open_networks
from trtforge.speech.whisper.quality import Fallback
from trtforge.speech.whisper.rules import NOTHING_FORBIDDEN, WhisperRules
from trtforge.speech.whisper.settings import TranscribeSettings
from trtforge.speech.whisper.windows_of_files import Recording, windows_of
from trtforge.units import Seconds

_Prepared: TypeAlias = tuple[Recording, AudioWindow, NDArray[np.float32]]


class Whisper(Closing):
    """A Whisper checkpoint that transcribes; `load` makes one.

    Parameters
    ----------
    description : what must be known beside the networks.
    networks : the encoder, decoder and aligner; engines limit rows, windows and symbols.
    num_rows : windows decoded at a time.
    encoder_batch : windows encoded at a time.

    Raises
    ------
    ConfigError : a number is below 1.
    """

    def __init__(
        self,
        description: WhisperDescription,
        networks: WhisperNetworks,
        *,
        num_rows: int = 8,
        encoder_batch: int = 4,
    ) -> None:
        for name, number in (("num_rows", num_rows), ("encoder_batch", encoder_batch)):
            if number < 1:
                raise ConfigError(f"{name} must be 1 or more, got {number}", settings=(name,))
        self.description, self._networks = description, networks
        self.num_rows, self._encoder_batch = num_rows, encoder_batch
        self._num_positions = networks.limit("decoder", "self_key_0", 2) or description.num_positions
        self._rows = KeptRows(networks.decoder)

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        *,
        device: Device = "cpu",
        num_rows: int | None = None,
        encoder_batch: int | None = None,
    ) -> Whisper:
        """Load a checkpoint.

        Parameters
        ----------
        source : folder that `export_whisper` wrote, which needs no PyTorch; or folder or id of a
            ``transformers`` Whisper checkpoint, which is exported first.
        device : ``cpu`` for ONNX Runtime, ``gpu`` for the engines in the folder (`build_whisper`).
        num_rows : windows decoded at a time; by default 8 on the CPU, on a GPU the engine's. Where there are
            fewer windows, the further rows stand idle.
        encoder_batch : windows encoded at a time; by default 4 on the CPU, on a GPU the engine's most.

        Raises
        ------
        MissingExtraError : a package is missing.
        ModelError : there is no such checkpoint, or it is no Whisper checkpoint.
        TrtforgeError : an engine cannot be loaded.
        """
        folder = Path(source)
        if (folder / DESCRIPTION).is_file():
            description = WhisperDescription.load(folder)
            networks = open_networks(folder, device)
        elif device == "gpu":
            raise ModelError(
                f"{source} holds no {DESCRIPTION}, and engines are built beforehand",
                hint="export_whisper(checkpoint, folder, kv_dtype='float16'), then build_whisper(folder)",
            )
        else:
            with tempfile.TemporaryDirectory(prefix="trtforge-") as scratch:
                description = export_whisper(source, scratch)
                networks = open_networks(Path(scratch), device)
        return cls(
            description,
            networks,
            num_rows=(networks.limit("decoder", "tokens", 0) or 8) if num_rows is None else num_rows,
            encoder_batch=(networks.limit("encoder", "features", 0) or 4)
            if encoder_batch is None
            else encoder_batch,
        )

    def close(self) -> None:
        """Give back what rows and networks hold."""
        self._rows.close()
        self._networks.close()

    @overload
    def transcribe(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self,
        audio: AudioSource,
        settings: TranscribeSettings = ...,
        *,
        on_progress: OnProgress | None = ...,
        max_duration: float = ...,
    ) -> Transcript: ...

    @overload
    def transcribe(
        self,
        audio: Sequence[AudioSource],
        settings: TranscribeSettings = ...,
        *,
        on_progress: OnProgress | None = ...,
        max_duration: float = ...,
    ) -> list[Transcript | ClipError]: ...

    def transcribe(
        self,
        audio: AudioSource | Sequence[AudioSource],
        settings: TranscribeSettings = TranscribeSettings(),  # noqa: B008 - frozen
        *,
        on_progress: OnProgress | None = None,
        max_duration: float = MAX_DURATION,
    ) -> Transcript | list[Transcript | ClipError]:
        """Transcribe one recording, or several in the same rows.

        Recordings are read, in threads, a little before their windows are needed, so that memory follows the
        rows and not their length.
        Silence is left out before anything is decoded; what the network takes for silence and is not sure of
        is left out after.

        Parameters
        ----------
        audio : path of an audio file, or its bytes; or a list of them.
        settings : language, task and the rest.
        on_progress : called with windows that are done and windows that were cut so far.
        max_duration : longest recording that is read, in seconds.

        Returns
        -------
        The transcript; for a list, one for each, or in its place the error of a recording that cannot be
        read.

        Raises
        ------
        ClipError : the one recording cannot be read.
        ConfigError : the checkpoint has no such language or task.
        TrtforgeError : a network failed.
        """
        if isinstance(audio, str | os.PathLike | bytes):
            (result,) = self._transcribe([audio], settings, on_progress, max_duration)
            if isinstance(result, ClipError):
                raise result
            return result
        return self._transcribe(list(audio), settings, on_progress, max_duration)

    def _transcribe(
        self,
        sources: Sequence[AudioSource],
        settings: TranscribeSettings,
        on_progress: OnProgress | None,
        max_duration: float,
    ) -> list[Transcript | ClipError]:
        known = self.description
        language = settings.language
        if language is None and not known.vocabulary.is_multilingual:
            language = "en"
        if language is not None:
            known.vocabulary.prompt(language, settings.task, timestamps=False)
        if settings.cut.window_seconds * SAMPLING_RATE > self._window_samples:
            settings = replace(
                settings, cut=replace(settings.cut, **_limits(self._window_samples / SAMPLING_RATE))
            )
        recordings = [Recording(source, language=language) for source in sources]
        rules = WhisperRules(known.vocabulary, known.num_symbols, settings.timestamps)
        counts = [0, 0]

        def progress(done: int, cut: int) -> None:
            counts[0] += done
            counts[1] += cut
            if on_progress is not None:
                on_progress(*counts)

        def prepared(found: tuple[Recording, AudioWindow]) -> _Prepared:
            recording, window = found
            return recording, window, self._features(window)

        def seats(decoder: RowDecoder) -> Iterator[Seat]:
            found = windows_of(recordings, settings.cut, max_duration)
            windows = ahead(found, prepared, num_ahead=2 * self._encoder_batch)
            while batch := list(islice(windows, self._encoder_batch)):
                progress(0, len(batch))
                yield from self._encoded(decoder, batch, settings, rules)

        def retry(found: Generated) -> Request | None:
            return self._again(found, settings.fallback)

        # All rules have the same masks, whether times are written or not.
        with (
            Finisher(known, self._networks, settings) as finisher,
            self._rows.lend(
                num_rows=self.num_rows, num_positions=self._num_positions, rules=rules
            ) as decoder,
        ):
            for found in generate(decoder, seats(decoder), retry=retry):
                task: Task = found.request.key
                task.found = found
                progress(1, 0)
                if task.group.is_done():
                    finisher.take(task.group)
            finisher.wait()
        return [_result(recording, known.vocabulary.is_multilingual) for recording in recordings]

    @property
    def _window_samples(self) -> int:
        return self.description.num_frames // 2 * STEP

    def _features(self, window: AudioWindow) -> NDArray[np.float32]:
        known = self.description
        return whisper_features(window.audio, num_mels=known.num_mels, num_frames=known.num_frames)

    def _encoded(
        self,
        decoder: RowDecoder,
        batch: Sequence[_Prepared],
        settings: TranscribeSettings,
        rules: WhisperRules,
    ) -> Iterator[Seat]:
        known = self.description
        memory = self._networks.encode(np.stack([features for _, _, features in batch]))
        starts = np.full((len(batch), 1), known.vocabulary.start, np.int32)
        first = decoder.look(memory, starts, mask=NOTHING_FORBIDDEN).scores
        group = Group(memory["states"])
        limit = settings.max_new_tokens or self._num_positions // 2
        requests = []
        for index, (recording, window, _) in enumerate(batch):
            if recording.language is None:
                recording.language, recording.language_probability = self._language(first[index])
            silence = float(np.exp(first[index, known.vocabulary.no_speech]))
            task = Task(recording, window, group, recording.language, silence)
            group.tasks.append(task)
            prompt = known.vocabulary.prompt(
                recording.language, settings.task, timestamps=settings.timestamps
            )
            requests.append(
                Request(
                    prompt,
                    min(limit, self._num_positions - len(prompt)),
                    frozenset({known.vocabulary.stop}),
                    rules,
                    _pick(settings.fallback.temperatures[0], window),
                    key=task,
                )
            )
        for index, request in enumerate(requests):
            yield Seat(request, memory, index)

    def _language(self, scores: NDArray[np.float32]) -> tuple[str, float]:
        languages = self.description.vocabulary.languages
        heights = np.array([scores[token] for token in languages.values()], np.float64)
        shares = np.exp(heights - heights.max())
        best = int(shares.argmax())
        return list(languages)[best], float(shares[best] / shares.sum())

    def _again(self, found: Generated, fallback: Fallback) -> Request | None:
        task: Task = found.request.key
        if fallback.is_silence(found, task.no_speech_probability):
            return None
        text = self.description.vocabulary.text(found.tokens).strip()
        if fallback.is_good(found, text) or task.attempt + 1 == len(fallback.temperatures):
            return None
        task.attempt += 1
        return replace(
            found.request, pick=_pick(fallback.temperatures[task.attempt], task.window, task.attempt)
        )


def _pick(temperature: float, window: AudioWindow, attempt: int = 0) -> Sample | None:
    """Return how to draw: always the same for the same window of the same recording."""
    return Sample(temperature, seed=window.begin * 16 + attempt) if temperature > 0 else None


def _limits(longest: float) -> Mapping[str, float]:
    return {"window_seconds": longest, "search_seconds": longest / 3}


def _result(recording: Recording, is_multilingual: bool) -> Transcript | ClipError:
    if recording.error is not None:
        return recording.error
    found: list[Any] = sorted(recording.found, key=lambda pair: pair[0].start)
    return Transcript(
        tuple(word for _, words in found for word in words),
        Seconds(recording.num_samples / SAMPLING_RATE),
        tuple(segment for segment, _ in found),
        recording.language if is_multilingual or found else None,
        recording.language_probability,
    )
