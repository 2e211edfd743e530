"""Translate with a Marian, M2M100 or NLLB checkpoint and a glossary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from examples.podcast.digests import checkpoint_digest
from examples.podcast.translating import Translated
from trtforge._progress import OnProgress
from trtforge.speech.translation import Glossary, Translator


class CheckpointInterpreter:
    """A checkpoint that `trtforge.speech.translation.Translator` loads, run in ONNX Runtime.

    Parameters
    ----------
    folder : the checkpoint.
    language : BCP 47 tag of what it writes.
    glossary : terms to keep; none where None.
    source_language, target_language : for checkpoints of many languages, as they name them.

    Raises
    ------
    ModelError, ConfigError, MissingExtraError : as from `Translator.load`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        language: str,
        glossary: Glossary | None = None,
        source_language: str | None = None,
        target_language: str | None = None,
    ) -> None:
        self.language, self._glossary = language, glossary
        self._translator = Translator.load(
            folder, source_language=source_language, target_language=target_language
        )
        self.digest = checkpoint_digest(folder, glossary, source_language, target_language)

    def close(self) -> None:
        """Give the networks back."""
        self._translator.close()

    def translate(self, sentences: Sequence[str], on_progress: OnProgress) -> Sequence[Translated]:
        """Return one translation for each sentence."""
        return self._translator.translate(sentences, glossary=self._glossary, on_progress=on_progress)
