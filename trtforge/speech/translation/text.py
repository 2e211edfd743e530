"""The text side of a translation checkpoint: symbols of sentences, languages, what begins and ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import require
from trtforge.errors import ConfigError, ModelError
from trtforge.speech.generation import Suppress
from trtforge.speech.generation.checkpoints import (
    read_config_and_tokenizer,
    read_generation,
    stop_symbols,
)
from trtforge.speech.translation.constrained import Constraint, Tokens
from trtforge.speech.translation.terms import raise_first

_NLLB_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_PLACEHOLDERS_KEY = "trtforge_placeholders"


@dataclass(frozen=True)
class TextSide:
    """How a checkpoint reads and writes text.

    Parameters
    ----------
    tokenizer : of `transformers`.
    source_language, target_language : as the checkpoint names them, or None where it has one pair.
    prompt : symbols that a translation begins with.
    prefix : text that a source begins with, where the checkpoint is told the language so; or "".
    stop : symbols that end a translation.
    rules : symbols that never come.
    num_symbols : size of the vocabulary.
    placeholders : words that the network was trained to carry over, or none.
    """

    tokenizer: Any
    source_language: str | None
    target_language: str | None
    prompt: Tokens
    prefix: str
    stop: frozenset[int]
    rules: Suppress
    num_symbols: int
    placeholders: tuple[str, ...] = ()

    @classmethod
    def load(
        cls, checkpoint: str, *, source_language: str | None = None, target_language: str | None = None
    ) -> TextSide:
        """Read configuration and tokenizer; no weights are read and PyTorch is not needed.

        Parameters
        ----------
        checkpoint : folder, or id of a model hub.
        source_language, target_language : for checkpoints of many languages, as they name them: ``en`` for
            M2M100, ``eng_Latn`` for NLLB, ``spa`` where a Marian checkpoint marks the target as ``>>spa<<``.

        Raises
        ------
        MissingExtraError : `transformers` or sentencepiece is not installed.
        ConfigError : a language is missing or unknown.
        ModelError : there is no such checkpoint, or it is of another kind.
        """
        require("sentencepiece", "read and write the symbols of a translation checkpoint")
        config, tokenizer = read_config_and_tokenizer(checkpoint)
        if config.model_type not in ("marian", "m2m_100"):
            raise ModelError(
                f"{checkpoint} is of kind {config.model_type!r}; translation takes Marian, M2M100 and NLLB",
            )
        told = _told(checkpoint, config)
        start, end = told["decoder_start_token_id"], told["eos_token_id"]
        prompt, prefix = _languages(tokenizer, config.model_type, source_language, target_language)
        if config.model_type == "marian" and told["forced_bos_token_id"] is not None:
            prompt = (told["forced_bos_token_id"],)
        num_symbols = int(getattr(config, "decoder_vocab_size", None) or config.vocab_size)
        wrong = [one for one in (start, *prompt) if type(one) is not int or not 0 <= one < num_symbols]
        if wrong:
            raise ModelError(f"{checkpoint} begins with symbol {wrong[0]}, it has {num_symbols}")
        return cls(
            tokenizer,
            source_language or getattr(tokenizer, "source_lang", None),
            target_language or getattr(tokenizer, "target_lang", None),
            (start, *prompt),
            prefix,
            stop_symbols(end, checkpoint),
            _rules(told, checkpoint),
            num_symbols,
            tuple(getattr(config, _PLACEHOLDERS_KEY, None) or ()),
        )

    def encode(self, sentence: str) -> list[int]:
        """Return the symbols of a source sentence, the end symbol among them."""
        symbols: list[int] = self.tokenizer(self.prefix + sentence, verbose=False)["input_ids"]
        return symbols

    def decode(self, tokens: Tokens) -> str:
        """Return the text of a translation."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text.strip()

    def constraint(self, rendering: str) -> Constraint | None:
        """Return the symbols of words that a translation must hold; raised where they may begin it.

        None where the vocabulary cannot write them.
        """
        plain = self._target_symbols(rendering)
        if plain is None:
            return None
        raised = raise_first(rendering)
        if rendering != rendering.lower() or raised == rendering:
            return Constraint(plain)
        return Constraint(plain, self._target_symbols(raised))

    @cached_property
    def continues_word(self) -> NDArray[np.bool_]:
        """Which symbols go on with the word before them, bool [symbols]."""
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(self.num_symbols)))
        special = set(self.tokenizer.all_special_tokens) | set(self.placeholders)
        return np.array(
            [
                bool(piece) and piece not in special and (piece[0].isalnum() or piece[0] == "_")
                for piece in (str(piece or "") for piece in pieces)
            ]
        )

    def _target_symbols(self, text: str) -> Tokens | None:
        symbols = self.tokenizer(text_target=text, add_special_tokens=False)["input_ids"]
        special = set(self.tokenizer.all_special_ids)
        found = tuple(symbol for symbol in symbols if symbol not in special)
        return None if not found or self.tokenizer.unk_token_id in symbols else found


def rules_of(checkpoint: str) -> Suppress:
    """Read which symbols a checkpoint forbids.

    Raises
    ------
    MissingExtraError : `transformers` is not installed.
    ModelError : the checkpoint cannot be read, or forbids sequences.
    """
    return _rules(told_of_generation(checkpoint), checkpoint)


def told_of_generation(checkpoint: str) -> dict[str, Any]:
    """Read what a checkpoint says of generation: its start, its end, what it forces and forbids.

    Raises
    ------
    MissingExtraError : `transformers` is not installed.
    ModelError : the checkpoint cannot be read, or does not say its start or end.
    """
    transformers = require("transformers", "read checkpoints")
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{checkpoint} cannot be read as a checkpoint of transformers: {reason}") from error
    return _told(checkpoint, config)


def _told(checkpoint: str, config: Any) -> dict[str, Any]:
    """Join what the checkpoint says of generation with its older place, the configuration."""
    names = (
        "decoder_start_token_id", "eos_token_id", "pad_token_id",
        "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id",
    )  # fmt: skip
    generation = read_generation(checkpoint)
    told = {}
    for name in names:
        value = generation.get(name)
        told[name] = getattr(config, name, None) if value is None else value
    for name in names[:2]:
        if told[name] is None:
            raise ModelError(f"{checkpoint} does not say its {name}")
    return told


def _rules(told: dict[str, Any], checkpoint: str) -> Suppress:
    always = set(told["suppress_tokens"] or ())
    for words in told["bad_words_ids"] or ():
        if len(words) != 1:
            raise ModelError(
                f"{checkpoint} forbids the sequence {list(words)}; only single symbols can be forbidden"
            )
        always.add(words[0])
    return Suppress(frozenset(always), frozenset(told["begin_suppress_tokens"] or ()))


def _languages(tokenizer: Any, kind: str, source: str | None, target: str | None) -> tuple[Tokens, str]:
    """Tell the tokenizer its source language; return what tells the network its target: symbols, text."""
    if kind == "marian":
        if target is None:
            return (), ""
        mark = f">>{target}<<"
        vocabulary = tokenizer.get_vocab()
        if mark in vocabulary:
            return (), f"{mark} "
        if target != getattr(tokenizer, "target_lang", None):
            known = sorted(word[2:-2] for word in vocabulary if word.startswith(">>"))
            raise ConfigError(
                f"the checkpoint does not translate to {target!r}",
                hint=f"it knows {', '.join(known)}"
                if known
                else "it has one target: leave target_language out",
                settings=("target_language",),
            )
        return (), ""
    for name, language in (("source_language", source), ("target_language", target)):
        if language is None:
            raise ConfigError(
                f"the checkpoint has many languages, and {name} is missing",
                hint="M2M100 writes en and es, NLLB eng_Latn and spa_Latn",
                settings=(name,),
            )
        _symbol_of(tokenizer, language, name)
    tokenizer.src_lang = source
    return (_symbol_of(tokenizer, str(target), "target_language"),), ""


def _symbol_of(tokenizer: Any, language: str, setting: str) -> int:
    """Return a language's symbol: M2M100's tokenizer has a list of them, NLLB's are words of their own."""
    known = getattr(tokenizer, "lang_code_to_id", None)
    if known is not None:
        symbol = known.get(language)
    else:
        symbol = tokenizer.convert_tokens_to_ids(language) if _NLLB_CODE.fullmatch(language) else None
    if symbol is None or symbol == tokenizer.unk_token_id:
        raise ConfigError(
            f"the checkpoint does not know the language {language!r}",
            hint="M2M100 writes en and es, NLLB eng_Latn and spa_Latn",
            settings=(setting,),
        )
    return int(symbol)
