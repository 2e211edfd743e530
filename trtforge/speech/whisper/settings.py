"""How recordings are transcribed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trtforge.speech.whisper.cutting import CutSettings
from trtforge.speech.whisper.quality import Fallback


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
    """

    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"
    timestamps: bool = False
    words: bool = True
    fallback: Fallback = Fallback()  # noqa: RUF009 - frozen
    cut: CutSettings = CutSettings()  # noqa: RUF009 - frozen
    max_new_tokens: int | None = None
