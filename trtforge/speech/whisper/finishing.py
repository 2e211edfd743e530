"""Windows under way, and what becomes of them when they are decoded: segments and words."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._ahead import thread_count
from trtforge._closing import Closing
from trtforge.speech.generation import Generated
from trtforge.speech.transcript import Segment, Word
from trtforge.speech.whisper.alignment import token_starts
from trtforge.speech.whisper.checkpoint import WhisperDescription
from trtforge.speech.whisper.cutting import STEP, AudioWindow
from trtforge.speech.whisper.networks import WhisperNetworks
from trtforge.speech.whisper.quality import compression_ratio
from trtforge.speech.whisper.settings import TranscribeSettings
from trtforge.speech.whisper.vocabulary import WhisperVocabulary
from trtforge.speech.whisper.windows_of_files import Recording
from trtforge.units import Seconds

# Windows whose words' times are being computed; each holds the attention of its heads.
_MAX_WAITING = 64


@dataclass
class Group:
    """Windows that were encoded together and are aligned together.

    Attributes
    ----------
    states : the encoder's output, [windows, steps, width], where the networks run; None once it is done with.
    tasks : the windows, in the order of ``states``.
    """

    states: Any
    tasks: list[Task] = field(default_factory=list)

    def is_done(self) -> bool:
        """Say whether all windows are decoded."""
        return all(task.found is not None for task in self.tasks)


@dataclass
class Task:
    """One window under way.

    Attributes
    ----------
    recording, window : where it is from.
    group : what it was encoded with.
    language : code, or None where the checkpoint knows English alone.
    no_speech_probability : that nobody speaks, as the network sees it.
    attempt : which of the fallback's temperatures it is decoded at.
    found : what was decoded, once it is.
    """

    recording: Recording
    window: AudioWindow
    group: Group
    language: str | None
    no_speech_probability: float
    attempt: int = 0
    found: Generated | None = None


class Finisher(Closing):
    """Turns windows that are decoded into segments and words of their recordings.

    The times of words are computed in threads, while others are decoded.

    Parameters
    ----------
    description, networks : the checkpoint.
    settings : whether words get times, and what is silence.
    """

    def __init__(
        self, description: WhisperDescription, networks: WhisperNetworks, settings: TranscribeSettings
    ) -> None:
        self._known, self._networks, self._settings = description, networks, settings
        self._threads = ThreadPoolExecutor(thread_count(), "trtforge-word-times")
        self._waiting: deque[Future[None]] = deque()

    def take(self, group: Group) -> None:
        """Finish the windows of a group, and let go of what it held on the networks' device.

        Raises
        ------
        TrtforgeError : the aligner failed, or a window before had no times.
        """
        known, fallback = self._known.vocabulary, self._settings.fallback
        spoken = []
        for index, task in enumerate(group.tasks):
            assert task.found is not None  # noqa: S101 - the group is done
            tokens = [token for token in task.found.tokens if token < known.stop]
            text = known.text(tokens).strip()
            if text and not fallback.is_silence(task.found, task.no_speech_probability):
                spoken.append(_Spoken(index, task, task.found, tokens, text))
        looks: Mapping[int, NDArray[np.float32]] = {}
        if self._settings.words and spoken:
            looks = self._aligned(group, spoken)
        # What refers to itself would be held until Python looks for it, GPU memory with it.
        for task in group.tasks:
            task.found = None
        group.tasks.clear()
        group.states = None
        for one in spoken:
            self._waiting.append(self._threads.submit(self._write, one, looks.get(one.index)))
        while len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft().result()

    def wait(self) -> None:
        """Wait until all that was taken is written.

        Raises
        ------
        TrtforgeError : a window had no times.
        """
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """End the threads; what they had not begun is dropped."""
        self._threads.shutdown(cancel_futures=True)

    def _aligned(self, group: Group, spoken: Sequence[_Spoken]) -> dict[int, NDArray[np.float32]]:
        """Return where the decoder looked for the symbols of each window, by its index."""
        vocabulary, task_name = self._known.vocabulary, self._settings.task
        tokens_of = {one.index: one.tokens for one in spoken}
        prompts = [vocabulary.prompt(task.language, task_name, timestamps=False) for task in group.tasks]
        rows = [[*prompt, *tokens_of.get(index, [])] for index, prompt in enumerate(prompts)]
        tokens = np.full((len(rows), max(map(len, rows))), vocabulary.stop, np.int32)
        for index, row in enumerate(rows):
            tokens[index, : len(row)] = row
        attention = self._networks.align(group.states, tokens)
        found = {}
        for one in spoken:
            num_steps = max(1, len(one.task.window.audio) // STEP)
            symbols = slice(len(prompts[one.index]), len(rows[one.index]))
            found[one.index] = attention[one.index, :, symbols, :num_steps]
        return found

    def _write(self, one: _Spoken, looks: NDArray[np.float32] | None) -> None:
        task, fallback = one.task, self._settings.fallback
        segment = Segment(
            Seconds(task.window.start),
            Seconds(task.window.end),
            one.text,
            one.found.mean_log_probability,
            compression_ratio(one.text),
            task.no_speech_probability,
            fallback.temperatures[task.attempt],
        )
        words: tuple[Word, ...] = ()
        if looks is not None:
            starts = token_starts(looks, median_width=self._known.median_width)
            words = _words(one, starts, self._known.vocabulary)
        task.recording.found.append((segment, words))


@dataclass(frozen=True)
class _Spoken:
    """A window in which something was said, and its place in its group."""

    index: int
    task: Task
    found: Generated
    tokens: list[int]
    text: str


def _words(one: _Spoken, starts: NDArray[np.float64], known: WhisperVocabulary) -> tuple[Word, ...]:
    found, window = one.found, one.task.window
    scores = [
        score
        for token, score in zip(found.tokens, found.log_probabilities, strict=False)
        if token < known.stop
    ]
    begin = window.start
    ends = [*(begin + starts[1:]), max(window.end, begin + float(starts[-1]))]
    return tuple(
        Word(
            text,
            Seconds(begin + float(starts[first])),
            Seconds(float(ends[end - 1])),
            float(np.exp(np.mean(scores[first:end]))),
        )
        for text, first, end in known.words(one.tokens, one.task.language)
    )
