"""Windows under way, and what becomes of them when they are decoded: segments and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def finish(
    group: Group, description: WhisperDescription, networks: WhisperNetworks, settings: TranscribeSettings
) -> None:
    """Turn the windows of a group into segments and words of their recordings, and let go of what they held.

    Parameters
    ----------
    group : windows that are all decoded.
    description, networks : the checkpoint.
    settings : whether words get times, and what is silence.

    Raises
    ------
    TrtforgeError : the aligner failed.
    """
    known, fallback = description.vocabulary, settings.fallback
    spoken = []
    for task in group.tasks:
        assert task.found is not None  # noqa: S101 - the group is done
        tokens = [token for token in task.found.tokens if token < known.stop]
        text = known.text(tokens).strip()
        if text and not fallback.is_silence(task.found, task.no_speech_probability):
            spoken.append((task, tokens, text))
    starts = _align(group, spoken, description, networks, settings) if settings.words and spoken else {}
    for task, tokens, text in spoken:
        assert task.found is not None  # noqa: S101 - the group is done
        segment = Segment(
            Seconds(task.window.start),
            Seconds(task.window.end),
            text,
            task.found.mean_log_probability,
            compression_ratio(text),
            task.no_speech_probability,
            fallback.temperatures[task.attempt],
        )
        words = _words(task, tokens, starts[id(task)], known) if starts else ()
        task.recording.found.append((segment, words))
    # What refers to itself would be held until Python looks for it, GPU memory with it.
    for task in group.tasks:
        task.found = None
    group.tasks.clear()
    group.states = None


def _align(
    group: Group,
    spoken: Sequence[tuple[Task, list[int], str]],
    known: WhisperDescription,
    networks: WhisperNetworks,
    settings: TranscribeSettings,
) -> dict[int, NDArray[np.float64]]:
    tokens_of = {id(task): tokens for task, tokens, _ in spoken}
    prompts = [
        known.vocabulary.prompt(task.language, settings.task, timestamps=False) for task in group.tasks
    ]
    rows = [
        [*prompt, *tokens_of.get(id(task), [])] for prompt, task in zip(prompts, group.tasks, strict=True)
    ]
    tokens = np.full((len(rows), max(map(len, rows))), known.vocabulary.stop, np.int32)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = row
    attention = networks.align(group.states, tokens)
    found = {}
    for index, task in enumerate(group.tasks):
        if id(task) in tokens_of:
            num_steps = max(1, len(task.window.audio) // STEP)
            part = attention[index, :, len(prompts[index]) : len(rows[index]), :num_steps]
            found[id(task)] = token_starts(part, median_width=known.median_width)
    return found


def _words(
    task: Task, tokens: list[int], starts: NDArray[np.float64], known: WhisperVocabulary
) -> tuple[Word, ...]:
    found = task.found
    assert found is not None  # noqa: S101 - the group is done
    scores = [
        score
        for token, score in zip(found.tokens, found.log_probabilities, strict=False)
        if token < known.stop
    ]
    begin = task.window.start
    ends = [*(begin + starts[1:]), max(task.window.end, begin + float(starts[-1]))]
    return tuple(
        Word(
            text,
            Seconds(begin + float(starts[first])),
            Seconds(float(ends[end - 1])),
            float(np.exp(np.mean(scores[first:end]))),
        )
        for text, first, end in known.words(tokens, task.language)
    )
