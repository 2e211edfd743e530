"""A language model of random weights and a tokenizer of a few words, as a checkpoint's folder."""

from __future__ import annotations

from pathlib import Path

import tokenizers
import transformers

from tests.speech.generation import checkpoints

WORDS = (
    "key", "points", "of", "the", "talk", "an", "engine", "runs", "fast", ".", ",", ":", "-",
    "calibration", "clips", "are", "short", "we", "say", "it", "user", "so",
)  # fmt: skip
NAMES = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
TEMPLATE = (
    "{% for turn in messages %}user : {{ turn.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}so{% endif %}"
)


def tokenizer(*, chat: bool = True) -> transformers.PreTrainedTokenizerFast:
    """Words, and the rest of the network's symbols as w3 to w109."""
    names = [*NAMES.values(), *WORDS]
    names += [f"w{index}" for index in range(len(names), checkpoints.NUM_SYMBOLS)]
    symbols = {name: index for index, name in enumerate(names)}
    model = tokenizers.models.WordLevel(symbols, unk_token=NAMES["unk_token"])
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **NAMES)
    fast.chat_template = TEMPLATE if chat else None
    return fast


def write(folder: Path, kind: str = "llama", seed: int = 0, *, chat: bool = True) -> Path:
    """Write a checkpoint."""
    getattr(checkpoints, kind)(seed).save_pretrained(folder)
    tokenizer(chat=chat).save_pretrained(folder)
    return folder
