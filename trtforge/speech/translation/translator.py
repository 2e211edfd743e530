"""Translate sentences with an encoder-decoder checkpoint, and keep the terms of a glossary."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from trtforge._closing import Closing
from trtforge._progress import OnProgress
from trtforge.errors import InputError
from trtforge.speech.generation import Generated
from trtforge.speech.translation.glossary import Glossary, Match
from trtforge.speech.translation.networks import Device, open_networks
from trtforge.speech.translation.pieces import join_parts, parts_of
from trtforge.speech.translation.placeholders import Masked, mask
from trtforge.speech.translation.sequences import SequenceTranslator
from trtforge.speech.translation.terms import check_terms, restore_case
from trtforge.speech.translation.text import TextSide
from trtforge.speech.translation.values import Translation

_LENGTH_FACTOR, _LENGTH_MARGIN = 3, 24


class Translator(Closing):
    """A translation checkpoint, ready to run.

    Parameters
    ----------
    text : its text side.
    sequences : its networks.
    """

    def __init__(self, text: TextSide, sequences: SequenceTranslator) -> None:
        self.text, self.sequences = text, sequences

    @classmethod
    def load(
        cls,
        checkpoint: str | os.PathLike[str],
        *,
        source_language: str | None = None,
        target_language: str | None = None,
        device: Device = "cpu",
        max_batch: int = 32,
        num_threads: int | None = None,
    ) -> Translator:
        """Load a Marian, M2M100 or NLLB checkpoint.

        Parameters
        ----------
        checkpoint : folder of a `transformers` checkpoint, or id of a model hub; or a folder that
            `export_translator` wrote, which needs no PyTorch.
        source_language, target_language : for checkpoints of many languages, as they name them: ``en`` for
            M2M100, ``eng_Latn`` for NLLB, ``spa`` where a Marian checkpoint marks the target as ``>>spa<<``.
        device : ``cpu`` for ONNX Runtime; ``gpu`` for engines that `build_translator` put into the folder.
        max_batch : most sentences at a time; engines were built for a number of their own.
        num_threads : threads inside an operator on the CPU; all usable cores by default.

        Raises
        ------
        MissingExtraError : a package is not installed; the message says which.
        ConfigError : a language is missing or unknown, ``max_batch`` is below 1, or the device is unknown.
        NoGpuError : there is no GPU for the engines.
        ModelError : there is no such checkpoint, or it is of another kind.
        """
        path = os.fspath(checkpoint)
        text = TextSide.load(path, source_language=source_language, target_language=target_language)
        runners, num_positions = open_networks(
            path, device, num_masks=len(text.rules.masks), num_threads=num_threads
        )
        sequences = SequenceTranslator(*runners, num_positions, text.prompt, text.stop, text.rules, max_batch)
        return cls(text, sequences)

    def close(self) -> None:
        """Give the networks back; closing twice does nothing."""
        self.sequences.close()
        for network in (self.sequences.encoder, self.sequences.decoder):
            network.close()  # type: ignore[attr-defined]

    def translate(
        self,
        sentences: Sequence[str],
        *,
        glossary: Glossary | None = None,
        max_new_tokens: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> tuple[Translation, ...]:
        """Translate sentences, greedily first.

        Where a translation lacks a term of the glossary, or has it too often, it is made again: with the
        terms behind placeholders, where the network was trained with such, and then by a search over
        translations that hold the terms. What still lacks then stands in ``terms_lost``.

        Parameters
        ----------
        sentences : one sentence each. Where there are several, or one is longer than the network takes, they
            are translated in parts and joined.
        glossary : terms to keep.
        max_new_tokens : most symbols of a translation; by default three times the source's, and 24.
        on_progress : called with the number of sentences translated greedily and of all, parts counted.

        Returns
        -------
        One translation for each sentence, in order; an empty sentence has an empty one.

        Raises
        ------
        InputError : ``sentences`` is one string, or a sentence has a word that does not fit the network.
        TrtforgeError : a network failed.
        """
        if isinstance(sentences, str) or not all(isinstance(one, str) for one in sentences):
            kind = "one string" if isinstance(sentences, str) else "something else in it"
            raise InputError(
                f"sentences must be a list of sentences, got {kind}", hint="pass a list of strings"
            )
        terms = glossary or Glossary(())
        matches = [terms.find(sentence) for sentence in sentences]
        results = self._greedy(list(sentences), matches, max_new_tokens, on_progress)
        checked = [_checked(result, found) for result, found in zip(results, matches, strict=True)]
        hidden: dict[int, Masked] = {}
        if self.text.placeholders:
            for index, (one, found) in enumerate(zip(checked, matches, strict=True)):
                masked = mask(one.source, found, self.text.placeholders)
                if _lacks(one, terms) and masked is not None:
                    hidden[index] = masked
        again = self._greedy(
            [masked.text for masked in hidden.values()], [()] * len(hidden), max_new_tokens, None
        )
        for (index, masked), result in zip(hidden.items(), again, strict=True):
            text = masked.restore(result.text)
            if text is not None:
                tried = replace(result, source=sentences[index], text=text, method="placeholders")
                checked[index] = _better(checked[index], _checked(tried, matches[index]), terms)
        for index, one in enumerate(checked):
            if _lacks(one, terms):
                forced = self._constrained(one.source, matches[index], terms, max_new_tokens)
                checked[index] = one if forced is None else _better(one, forced, terms)
        return tuple(checked)

    def _greedy(
        self,
        sentences: list[str],
        matches: Sequence[Sequence[Match]],
        max_new_tokens: int | None,
        on_progress: OnProgress | None,
    ) -> list[Translation]:
        parts: list[tuple[int, str]] = []
        for index, sentence in enumerate(sentences):
            if sentence.strip():
                fits = self._fits
                parts += [(index, part) for part in parts_of(sentence, matches[index], fits)]
        sources = [self.text.encode(part) for _, part in parts]
        limits = [self._limit(len(source), max_new_tokens) for source in sources]
        generated = self.sequences.translate(sources, limits, on_progress=on_progress)
        of_sentence: dict[int, list[Generated]] = {}
        for (index, _), one in zip(parts, generated, strict=True):
            of_sentence.setdefault(index, []).append(one)
        return [
            self._joined(sentence, of_sentence.get(index, [])) for index, sentence in enumerate(sentences)
        ]

    def _joined(self, sentence: str, parts: Sequence[Generated]) -> Translation:
        scores = [value for part in parts for value in part.log_probabilities]
        return Translation(
            sentence,
            join_parts([self.text.decode(part.tokens) for part in parts]),
            sum(scores) / len(scores) if scores else 0.0,
            is_complete=all(part.stopped for part in parts),
        )

    def _constrained(
        self, sentence: str, matches: Sequence[Match], glossary: Glossary, max_new_tokens: int | None
    ) -> Translation | None:
        source = self.text.encode(sentence)
        if len(source) > self.sequences.max_source:
            return None
        required = _required(matches)
        constraints = [self.text.constraint(rendering) for rendering in required]
        wanted = [constraint for constraint in constraints if constraint is not None]
        if len(wanted) < len(required):
            return None
        found = self.sequences.translate_with(
            source,
            wanted,
            max_new_tokens=self._limit(len(source), max_new_tokens),
            continues_word=self.text.continues_word,
            in_order=glossary.keep_order,
            accept=lambda tokens: self._holds(self.text.decode(tokens), required, glossary),
        )
        if found is None:
            return None
        result = Translation(
            sentence, self.text.decode(found.tokens), found.mean_log_probability, method="constrained"
        )
        return _checked(result, matches)

    def _holds(self, text: str, required: Sequence[str], glossary: Glossary) -> bool:
        """Say whether a text has the terms as it must, and no placeholder."""
        is_whole = not any(word in text for word in self.text.placeholders)
        return is_whole and check_terms(text, required).passes(keep_order=glossary.keep_order)

    def _limit(self, source_length: int, max_new_tokens: int | None) -> int:
        if max_new_tokens is not None:
            return max_new_tokens
        return min(_LENGTH_FACTOR * source_length + _LENGTH_MARGIN, self.sequences.max_new_tokens)

    def _fits(self, sentence: str) -> bool:
        return len(self.text.encode(sentence)) <= self.sequences.max_source


def _required(matches: Sequence[Match]) -> list[str]:
    return [match.term.rendering for match in matches]


def _checked(translation: Translation, matches: Sequence[Match]) -> Translation:
    """Restore letter case, and write down what the translation holds of its terms."""
    required = _required(matches)
    text = restore_case(translation.text, required)
    check = check_terms(text, required)
    return replace(
        translation,
        text=text,
        terms_kept=check.kept,
        terms_lost=check.lost,
        terms_added=check.added,
        terms_in_order=check.in_order,
    )


def _lacks(translation: Translation, glossary: Glossary) -> bool:
    return bool(
        translation.terms_lost
        or translation.terms_added
        or (glossary.keep_order and not translation.terms_in_order)
    )


def _better(one: Translation, other: Translation, glossary: Glossary) -> Translation:
    """Take the one that loses fewer terms, then adds fewer, then has them in order if that is asked."""

    def faults(translation: Translation) -> tuple[int, int, bool]:
        return (
            len(translation.terms_lost),
            len(translation.terms_added),
            glossary.keep_order and not translation.terms_in_order,
        )

    return other if faults(other) < faults(one) else one
