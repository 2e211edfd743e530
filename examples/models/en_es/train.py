"""Train the English-Spanish model on one CPU core.

    python -m examples.models.en_es.train --output examples/models/en_es/checkpoint

It writes a folder as `transformers` does: configuration, FP16 weights, sentencepiece model and vocabulary.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from examples.models.en_es.corpus import SCRIPT_SHARE, Corpus, Pair, as_spoken, as_trained, make_corpus
from examples.models.en_es.grammar import PLACEHOLDERS

VOCABULARY_SIZE = 1500
MAX_LENGTH = 128


def make_tokenizer(corpus: Corpus, folder: Path, seed: int) -> Any:
    """Train one sentencepiece model for both languages and wrap it as a `MarianTokenizer`."""
    import sentencepiece
    from transformers import MarianTokenizer

    rng = np.random.default_rng(seed)
    pairs = [*corpus.script * 5, *corpus.training[:40_000]]
    lines = [line for pair in pairs for line in (*pair, as_spoken(pair[0], rng))]
    # Every letter must be known, also where the text does not use it.
    lines += [
        "abcdefghijklmnopqrstuvwxyzáéíóúüñ ABCDEFGHIJKLMNOPQRSTUVWXYZÁÉÍÓÚÑ 0123456789 .,;:¿?¡!'-()%/"
    ] * 50
    written = io.BytesIO()
    # Given as lines, so that the model holds no path.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=written,
        vocab_size=VOCABULARY_SIZE - 1,
        model_type="unigram",
        character_coverage=1.0,
        normalization_rule_name="identity",
        user_defined_symbols=list(PLACEHOLDERS),
        pad_id=-1, bos_id=-1, eos_id=0, unk_id=1,
        num_threads=1,
        minloglevel=2,
    )  # fmt: skip
    model = written.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0), encoding="utf-8")
    tokenizer = MarianTokenizer(
        source_spm=str(folder / "source.spm"),
        target_spm=str(folder / "target.spm"),
        vocab=str(folder / "vocab.json"),
        source_lang="en",
        target_lang="es",
        model_max_length=MAX_LENGTH,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_model(tokenizer: Any) -> Any:
    """Make an untrained Marian model of 1.7 million parameters."""
    from transformers import GenerationConfig, MarianConfig, MarianMTModel

    size = len(tokenizer)
    pad = tokenizer.pad_token_id
    config = MarianConfig(
        vocab_size=size, decoder_vocab_size=size, d_model=128,
        encoder_layers=4, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=512, decoder_ffn_dim=512, max_position_embeddings=MAX_LENGTH,
        activation_function="swish", dropout=0.05, attention_dropout=0.0, activation_dropout=0.0,
        scale_embedding=True, init_std=0.088, pad_token_id=pad, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=pad, forced_eos_token_id=tokenizer.eos_token_id,
        trtforge_placeholders=list(PLACEHOLDERS),
    )  # fmt: skip
    model = MarianMTModel(config)
    model.generation_config = GenerationConfig(
        max_length=MAX_LENGTH, num_beams=1, pad_token_id=pad, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=pad, forced_eos_token_id=tokenizer.eos_token_id, bad_words_ids=[[pad]],
    )  # fmt: skip
    return model


def batches(
    corpus: Corpus, tokenizer: Any, tokens: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of about ``tokens`` English tokens, pairs of like length together, without end."""
    pad = tokenizer.pad_token_id
    order: list[int] = []
    while True:
        pool: list[Pair] = []
        while len(pool) < 4096:
            if rng.random() < SCRIPT_SHARE:
                pair = corpus.script[rng.integers(len(corpus.script))]
            else:
                order = order or [int(index) for index in rng.permutation(len(corpus.training))]
                pair = corpus.training[order.pop()]
            pool.append(as_trained(pair, rng))
        sources = tokenizer([pair[0] for pair in pool])["input_ids"]
        targets = tokenizer(text_target=[pair[1] for pair in pool])["input_ids"]
        ranked = sorted(range(len(pool)), key=lambda row: (len(targets[row]), len(sources[row])))
        groups: list[list[int]] = [[]]
        for row in ranked:
            if groups[-1] and (len(groups[-1]) + 1) * len(targets[row]) > tokens:
                groups.append([])
            groups[-1].append(row)
        for index in rng.permutation(len(groups)):
            rows = groups[index]
            yield _padded([sources[row] for row in rows], pad), _padded([targets[row] for row in rows], -100)


def _padded(rows: list[list[int]], value: int) -> np.ndarray:
    out = np.full((len(rows), max(map(len, rows))), value, dtype=np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out


def translate(model: Any, tokenizer: Any, sentences: list[str], batch: int = 100) -> list[str]:
    """Translate greedily with `transformers` itself."""
    import torch

    order = sorted(range(len(sentences)), key=lambda row: len(sentences[row]))
    found: dict[int, str] = {}
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        inputs = tokenizer([sentences[row] for row in rows], return_tensors="pt", padding=True)
        with torch.no_grad():
            tokens = model.generate(**inputs)
        found.update(zip(rows, tokenizer.batch_decode(tokens, skip_special_tokens=True), strict=True))
    return [found[row] for row in range(len(sentences))]


def exact_share(model: Any, tokenizer: Any, pairs: list[Pair]) -> float:
    """Return the share of sentences that come out as the grammar has them."""
    texts = translate(model, tokenizer, [pair[0] for pair in pairs])
    return sum(text == pair[1] for text, pair in zip(texts, pairs, strict=True)) / len(pairs)


def main() -> None:
    """Draw the corpus, train, write the folder."""
    import torch

    parser = argparse.ArgumentParser(description="Train the English-Spanish model on one CPU core.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--tokens", type=int, default=1000, help="Spanish tokens in a batch")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    begin = time.perf_counter()
    corpus = make_corpus(args.pairs, args.seed)
    tokenizer = make_tokenizer(corpus, args.output, args.seed)
    model = make_model(tokenizer)
    average = copy.deepcopy(model).eval()
    print(
        f"{len(corpus.training)} pairs, {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{time.perf_counter() - begin:.0f} s",
        flush=True,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01)
    source = batches(corpus, tokenizer, args.tokens, np.random.default_rng(args.seed))
    model.train()
    running = 0.0
    for step in range(1, args.steps + 1):
        for group in optimizer.param_groups:
            progress = step / args.steps
            group["lr"] = args.rate * min(step / 300, 0.5 * (1 + math.cos(math.pi * progress)) + 0.01)
        english, spanish = next(source)
        input_ids, labels = torch.from_numpy(english), torch.from_numpy(spanish)
        start = torch.full_like(labels[:, :1], tokenizer.pad_token_id)
        decoder_ids = torch.cat([start, labels[:, :-1]], 1)
        decoder_ids = decoder_ids.masked_fill(decoder_ids == -100, tokenizer.pad_token_id)
        logits = model(
            input_ids=input_ids,
            attention_mask=(input_ids != tokenizer.pad_token_id).long(),
            decoder_input_ids=decoder_ids,
        ).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=-100, label_smoothing=0.05
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running = 0.98 * running + 0.02 * float(loss.detach()) if step > 1 else float(loss.detach())
        with torch.no_grad():
            keep = min(0.995, step / (step + 50))
            for mean, value in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        if step % 250 == 0 or step == args.steps:
            right = exact_share(average, tokenizer, list(corpus.held_out[:100]))
            script = exact_share(average, tokenizer, list(corpus.script))
            seconds = time.perf_counter() - begin
            print(
                f"{seconds:5.0f} s  step {step}  loss {running:.3f}  exact: held out {right:.2f}, "
                f"script {script:.2f}",
                flush=True,
            )
    average.half().save_pretrained(args.output)


if __name__ == "__main__":
    main()
