"""Which recogniser a command's options ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from examples.podcast.recognition import CtcRecognizer
from examples.podcast.settings import check_languages
from trtforge.errors import ConfigError

if TYPE_CHECKING:
    from examples.podcast.whisper_recognizer import WhisperRecognizer


def chosen_recognizer(
    network: Path | None, whisper: Path | None, language: str
) -> CtcRecognizer | WhisperRecognizer:
    """Return a CTC network or a Whisper checkpoint, the bundled recogniser where neither is given.

    Raises
    ------
    ConfigError : both are given, or neither for a language that the bundled one does not know; or the
        language is no tag.
    TrtforgeError : it cannot be loaded.
    """
    check_languages([language])
    if network and whisper:
        raise ConfigError("--recognizer and --whisper exclude each other")
    if whisper:
        from examples.podcast.whisper_recognizer import WhisperRecognizer

        return WhisperRecognizer(whisper, language=language)
    if network:
        return CtcRecognizer(network, language=language)
    if language.partition("-")[0] != "en":
        raise ConfigError(
            f"the bundled recogniser knows English, not {language!r}",
            hint="pass --recognizer or --whisper with a network for that language",
        )
    return CtcRecognizer()
