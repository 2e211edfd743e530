"""A language model of random weights and a tokenizer of a few words, as a checkpoint's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers

from tests.speech.generation import checkpoints

WORDS = (
    "key", "points", "of", "the", "talk", "an", "engine", "runs", "fast", ".", ",", ":", "-",
    "calibration", "clips", "are", "short", "we", "say", "it", "user", "so", "\n",
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
    split = tokenizers.pre_tokenizers
    made.pre_tokenizer = split.Sequence([split.Split("\n", "isolated"), split.Split(" ", "removed")])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **NAMES)
    fast.chat_template = TEMPLATE if chat else None
    return fast


def write(folder: Path, kind: str = "llama", seed: int = 0, *, chat: bool = True) -> Path:
    """Write a checkpoint."""
    getattr(checkpoints, kind)(seed).save_pretrained(folder)
    tokenizer(chat=chat).save_pretrained(folder)
    return folder


def taught(folder: Path, prompts: list[str], answer: str, *, positions: int) -> Path:
    """Write a checkpoint that was trained, for a second or two, to give one answer to every prompt."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **{**checkpoints.CAUSAL_SIZES, "max_position_embeddings": positions}, num_key_value_heads=2
    )
    model: Any = transformers.LlamaForCausalLM(config)
    words = tokenizer(chat=False)
    wanted = [*words(answer)["input_ids"], 2]
    rows = [[*words(prompt)["input_ids"], *wanted] for prompt in prompts]
    longest = max(map(len, rows))
    tokens = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    labels = tokens.clone()
    labels[:, : longest - len(wanted)] = -100
    optimizer = torch.optim.Adam(model.parameters(), 8e-3)
    for _ in range(100):
        optimizer.zero_grad()
        model(input_ids=tokens, attention_mask=(tokens != 0).long(), labels=labels).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def talks(count: int, *, longest: int) -> list[str]:
    """Make transcripts of the tokenizer's words."""
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS[:-2], random.integers(1, longest))) for _ in range(count)]
