"""Pairs to train on and pairs to judge by, drawn from the grammar.

    python -m examples.models.en_es.corpus --number 20

English is also shown as a recogniser without case and punctuation writes it, with names as they are spoken
and a wrong letter here and there; the Spanish beside it stays as it should be.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.models.en_es.grammar import FOLDER, PLACEHOLDERS, Grammar
from examples.models.en_es.lexicon import rows

PLACEHOLDER_SHARE = 0.25
SCRIPT_SHARE = 0.06
SPOKEN_SHARE = 0.3
WRONG_LETTER_SHARE = 0.02
NUM_HELD_OUT = 2000

_SPOKEN = {
    "TensorRT": ("tensor r t", "tensor rt", "tensorrt"),
    "INT8": ("int eight", "int8"),
    "FP16": ("f p sixteen", "fp16"),
    "FP32": ("f p thirty two", "fp32"),
    "FP8": ("f p eight", "fp8"),
    "BF16": ("b f sixteen", "bf16"),
    "GPU": ("g p u", "gpu"),
    "GPUs": ("g p us", "gpus"),
    "CPU": ("c p u", "cpu"),
    "CPUs": ("c p us", "cpus"),
    "ONNX": ("onnx",),
    "PyTorch": ("pie torch", "pytorch"),
    "CUDA": ("cuda",),
}
Pair = tuple[str, str]


@dataclass(frozen=True)
class Corpus:
    """Parallel sentences.

    Parameters
    ----------
    training : pairs drawn from the templates, without any English sentence of ``held_out``.
    held_out : pairs drawn from the same templates with another seed, none of them a sentence of the script.
    script : the sentences of the demo episode; they are trained on too.
    """

    training: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    script: tuple[Pair, ...]


def make_corpus(num_pairs: int, seed: int) -> Corpus:
    """Draw distinct pairs, the same for the same seed."""
    script = tuple((row[0], row[1]) for row in rows(FOLDER / "podcast.tsv"))
    grammar = Grammar.load("sentences.tsv", "variants.tsv")
    known = {english for english, _ in script}
    held_out = _draw(grammar, NUM_HELD_OUT, np.random.default_rng(seed + 1), 0.0, known)
    training = _draw(grammar, num_pairs, np.random.default_rng(seed), PLACEHOLDER_SHARE, known)
    return Corpus(training, held_out, script)


def _draw(
    grammar: Grammar, number: int, rng: np.random.Generator, placeholders: float, known: set[str]
) -> tuple[Pair, ...]:
    """Draw pairs whose English is not known, and make it known; templates take turns by size."""
    with_slots = [index for index, row in enumerate(grammar.templates) if "{" in row[0]]
    pairs: list[Pair] = []
    if placeholders:
        without = [row[:2] for row in grammar.templates if "{" not in row[0]]
        pairs += [pair for pair in without for _ in range(20)]
    tries = 0
    while len(pairs) < number and tries < 20 * number:
        tries += 1
        pair = grammar.pair(with_slots[tries % len(with_slots)], rng, placeholders)
        if pair[0] not in known:
            known.add(pair[0])
            pairs.append(pair)
    return tuple(pairs)


def as_spoken(english: str, rng: np.random.Generator) -> str:
    """Write a sentence as a recogniser would: lower case, no punctuation, names as they sound."""
    words = []
    for token in english.split():
        word = token if token in PLACEHOLDERS else token.strip(".,?!")
        if word in _SPOKEN:
            word = str(rng.choice(_SPOKEN[word]))
        elif word.rstrip(".,?!") not in PLACEHOLDERS:
            word = word.lower()
            if len(word) > 3 and rng.random() < WRONG_LETTER_SHARE:
                word = _with_a_wrong_letter(word, rng)
        words.append(word)
    return " ".join(words)


def as_trained(pair: Pair, rng: np.random.Generator) -> Pair:
    """Show the English of a pair as it was written, as spoken, or with its end mark missing."""
    english, spanish = pair
    drawn = rng.random()
    if drawn < SPOKEN_SHARE:
        return as_spoken(english, rng), spanish
    if drawn < SPOKEN_SHARE + 0.05:
        return re.sub(r"[.]$", "", english), spanish
    return english, spanish


def _with_a_wrong_letter(word: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(1, len(word)))
    letter = "abcdefghijklmnopqrstuvwxyz"[rng.integers(26)]
    return word[:at] + ("", letter, letter + word[at])[rng.integers(3)] + word[at + 1 :]


def main() -> None:
    """Print some pairs, to be read by whoever mends the templates."""
    parser = argparse.ArgumentParser(description="Print some of the pairs that en_es is trained on.")
    parser.add_argument("--number", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="write tab-separated pairs there instead")
    args = parser.parse_args()
    pairs = make_corpus(args.number, args.seed).training[-args.number :]
    text = "\n".join("\t".join(pair) for pair in pairs)
    if args.output is None:
        print(text)
    else:
        args.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
