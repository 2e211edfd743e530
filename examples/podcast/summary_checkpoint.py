"""A summary in the words of a checkpoint: an encoder-decoder such as BART, or a causal language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from examples.podcast.digests import checkpoint_digest
from examples.podcast.grounding import MIN_SAID, said_share, said_words
from examples.podcast.records import Segment
from trtforge._closing import Closing
from trtforge._optional import require
from trtforge.errors import ConfigError, ModelError
from trtforge.speech.causal import LanguageModel, Message
from trtforge.speech.generation import NoRepeat
from trtforge.speech.translation import SequenceTranslator
from trtforge.speech.translation.networks import open_networks
from trtforge.speech.translation.pieces import parts_of
from trtforge.speech.translation.text import rules_of, told_of_generation

_MAX_NEW_TOKENS = 142
# What summarizers of this kind are run with: none says the same three symbols twice.
_NO_REPEAT = 3


class SummaryCheckpoint(Closing):
    """Summarises with a checkpoint of `transformers`, exported by trtforge, run by ONNX Runtime.

    What does not fit the network at once is summarised in parts, and the parts' summaries once more where
    they have too many sentences. A sentence of whose words less than 60 % were said is left out: networks of
    this kind invent. Where none is left, the pipeline takes the most central sentences.

    Parameters
    ----------
    folder : a checkpoint of BART or Pegasus, or of a causal language model.
    max_new_tokens : most symbols of a part's summary; fewer where the checkpoint has few positions.

    Raises
    ------
    ModelError : the folder holds no such checkpoint.
    ConfigError : the network is too small for a sentence.
    MissingExtraError : PyTorch, `transformers` or sentencepiece is not installed.
    """

    def __init__(self, folder: Path, *, max_new_tokens: int = _MAX_NEW_TOKENS) -> None:
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no checkpoint: there is no config.json")
        config = require("transformers", "read a summary checkpoint").AutoConfig.from_pretrained(folder)
        kind = _EncoderDecoder if config.is_encoder_decoder else _Causal
        self._writer: _Writer = kind(folder, max_new_tokens)
        self.digest = checkpoint_digest(folder, max_new_tokens)

    def close(self) -> None:
        """Give the networks back; closing twice does nothing."""
        self._writer.close()

    def sentences(self, segments: Sequence[Segment], limit: int) -> list[str]:
        """Return at most so many sentences about an episode, those that it did not say left out."""
        texts = [segment.text for segment in segments]
        said = said_words(texts)
        while True:
            parts = _packed(texts, self._writer.fits)
            written = [
                sentence
                for summary in self._writer.write(parts)
                for sentence in parts_of(summary, (), lambda _: True)
                if said_share(sentence, said) >= MIN_SAID
            ]
            sentences = list(dict.fromkeys(written))
            # Summaries of parts that are no shorter than these would go on for ever.
            if len(sentences) <= limit or len(parts) == 1 or len(sentences) >= len(texts):
                return sentences[:limit]
            texts = sentences


class _Writer(Protocol):
    """What writes summaries of texts that fit it."""

    def fits(self, text: str) -> bool: ...

    def write(self, texts: Sequence[str]) -> list[str]: ...

    def close(self) -> None: ...


class _EncoderDecoder:
    """BART and Pegasus."""

    def __init__(self, folder: Path, max_new_tokens: int) -> None:
        transformers = require("transformers", "read a summary checkpoint")
        told = told_of_generation(str(folder))
        rules = rules_of(str(folder))
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        networks, positions = open_networks(str(folder), "cpu", num_masks=len(rules.masks))
        first = told["forced_bos_token_id"]
        prompt = (int(told["decoder_start_token_id"]), *(() if first is None else (int(first),)))
        end = told["eos_token_id"]
        stop = frozenset(end if isinstance(end, list) else [int(end)])
        self._networks = networks
        self._network = SequenceTranslator(*networks, positions, prompt, stop, rules, max_batch=4)
        self._limit = min(max_new_tokens, self._network.max_new_tokens)

    def fits(self, text: str) -> bool:
        return len(self._symbols(text)) <= self._network.max_source

    def write(self, texts: Sequence[str]) -> list[str]:
        sources = [self._symbols(text) for text in texts]
        found = self._network.translate(sources, [self._limit] * len(texts), pick=NoRepeat(_NO_REPEAT))
        return [self._tokenizer.decode(list(one.tokens), skip_special_tokens=True).strip() for one in found]

    def close(self) -> None:
        self._network.close()
        for network in self._networks:
            network.close()

    def _symbols(self, text: str) -> list[int]:
        symbols: list[int] = self._tokenizer(text, verbose=False)["input_ids"]
        return symbols


class _Causal:
    """A language model that is asked."""

    def __init__(self, folder: Path, max_new_tokens: int) -> None:
        self._model = LanguageModel.load(folder, max_batch=4)
        self._max_new_tokens = max_new_tokens

    def fits(self, text: str) -> bool:
        return self._model.count(_asked(text)) <= self._model.num_positions - self._max_new_tokens

    def write(self, texts: Sequence[str]) -> list[str]:
        found = self._model.complete(
            [_asked(text) for text in texts], max_new_tokens=self._max_new_tokens, pick=NoRepeat(_NO_REPEAT)
        )
        return [" ".join(one.text.split()) for one in found]

    def close(self) -> None:
        self._model.close()


def _asked(text: str) -> list[Message]:
    return [
        Message(
            "user",
            "Summarise this transcript in a few plain sentences. Write only what was said.\n\n"
            f"{text}\n\nSummary:",
        )
    ]


def _packed(texts: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    """Join sentences into parts as long as the network takes.

    Raises
    ------
    ConfigError : a single sentence does not fit.
    """
    parts: list[str] = []
    for text in texts:
        longer = f"{parts[-1]} {text}" if parts else text
        if parts and fits(longer):
            parts[-1] = longer
        elif fits(text):
            parts.append(text)
        else:
            raise ConfigError(
                f"the summary checkpoint takes no sentence as long as {text[:40]!r}",
                hint="take a checkpoint with more positions, or leave --summary out",
            )
    return parts
