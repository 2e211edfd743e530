"""How recordings are transcribed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trtforge.errors import ConfigError
from trtforge.speech.whisper.cutting import CutSettings
from trtforge.speech.whisper.quality import Fallback
from trtforge.speech.whisper.vocabulary import TASKS


@dataclass(frozen=True)
class TranscribeSettings:
    """How recordings are transcribed.

    Parameters
    ----------
    language : code such as ``en``, or None to find it from each recording's first window.
    task : ``transcribe``, or ``translate`` into English.
    timestamps : whether the decoder writes times of its own; words get theirs in any case.
    words : whether words get times; without, the aligner does not run.
    fallback : when windows are decoded again.
    cut : where windows begin and end.
    max_new_tokens : most symbols of a window; None for half of what the decoder can hold.

    Raises
    ------
    ConfigError : ``max_new_tokens`` is below 1, or there is no such task.
    """

    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    timestamps: bool = False
    words: bool = True
    fallback: Fallback = Fallback()  # noqa: RUF009 - frozen
    cut: CutSettings = CutSettings()  # noqa: RUF009 - frozen
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(f"task must be one of {TASKS}, got {self.task!r}", settings=("task",))
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise ConfigError(
                f"max_new_tokens must be 1 or more, got {self.max_new_tokens}", settings=("max_new_tokens",)
            )
