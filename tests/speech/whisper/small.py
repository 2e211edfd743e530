"""A Whisper checkpoint of one-second windows and random weights, with a tokenizer of single bytes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tests.speech.generation.checkpoints import whisper
from trtforge.speech.whisper.vocabulary import _letters_of_bytes

SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|es|>", "<|zh|>", "<|translate|>",
    "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip
STOP = 256
NUM_TIMES = 51
NUM_SYMBOLS = STOP + len(SPECIAL) + NUM_TIMES
HEADS = [[0, 1], [1, 0], [1, 3]]
SECOND = 16_000


def ids() -> dict[str, int]:
    return {name: STOP + index for index, name in enumerate(SPECIAL)}


@functools.cache
def tokenizer() -> Any:
    letters = _letters_of_bytes()
    vocabulary = {letters[byte]: byte for byte in range(256)} | ids()
    vocabulary |= {f"<|{index * 0.02:.2f}|>": STOP + len(SPECIAL) + index for index in range(NUM_TIMES)}
    made = transformers.WhisperTokenizer(vocab=vocabulary, merges=[])
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    return made


@functools.cache
def model(seed: int = 0, *, num_mels: int = 80) -> Any:
    known = ids()
    made = whisper(
        seed,
        gain=3,
        vocab_size=NUM_SYMBOLS,
        num_mel_bins=num_mels,
        pad_token_id=STOP,
        bos_token_id=STOP,
        eos_token_id=STOP,
        decoder_start_token_id=known["<|startoftranscript|>"],
    )
    settings = made.generation_config
    settings._from_model_config = False  # else loading drops what Whisper adds
    settings.is_multilingual = True
    settings.lang_to_id = {name: known[name] for name in ("<|en|>", "<|es|>", "<|zh|>")}
    settings.task_to_id = {name: known[f"<|{name}|>"] for name in ("translate", "transcribe")}
    settings.no_timestamps_token_id = known["<|notimestamps|>"]
    settings.alignment_heads = HEADS
    # Of random weights no text is better than another: symbols that print.
    unprinted = [byte for byte in range(256) if not 0x20 <= byte < 0x7F]
    settings.suppress_tokens = [*unprinted, *range(STOP + 1, STOP + len(SPECIAL))]
    settings.begin_suppress_tokens = [0x20, STOP]
    settings.max_initial_timestamp_index = 10
    settings.return_timestamps = False
    return made


def write(folder: Path) -> Path:
    """Write it as a checkpoint of transformers."""
    model().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def noise(seconds: float, seed: int = 0, level: float = 0.1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(int(seconds * SECOND))).astype(np.float32)
