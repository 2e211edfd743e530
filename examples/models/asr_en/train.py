"""Train the recogniser on freshly synthesised speech.

    python -m examples.models.asr_en.train corpus --clips 100000 --output WORK
    python -m examples.models.asr_en.train fit --work WORK --seconds 1200 --until 560
    python -m examples.models.asr_en.train save --work WORK --output asr_en.npz

``corpus`` needs espeak-ng and flite and as many cores as there are; ``fit`` needs a GPU, and may begin when the
first chunks of the corpus are written: it takes up the others as they come. ``fit`` stops after
``--until`` seconds and goes on from its checkpoint when it is called again, until ``--seconds`` of training
are spent in all; the learning rate follows that total.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from calibration_sets.synthesis.speak import SpeechError, speak
from calibration_sets.synthesis.texts import normalise, sentences, training_sentences
from calibration_sets.synthesis.voices import Voice, draw, voices
from examples.models.asr_en.surroundings import noise_row, room_row, through_codec

SAMPLING_RATE = 16_000
MAX_SECONDS = 9.0
SYMBOLS = " '" + "abcdefghijklmnopqrstuvwxyz"


def speak_clip(job: tuple[int, str, Voice]) -> tuple[str, np.ndarray] | None:
    """Speak one sentence at a random rate and pitch; one clip in ten goes through a codec. None if too long."""
    seed, text, voice = job
    rng = np.random.default_rng(seed)
    pace, pitch = rng.uniform(110, 230), np.clip(rng.normal(50, 22), 0, 99)
    try:
        audio = speak(text, voice, words_per_minute=float(pace), pitch=float(pitch))
    except SpeechError:  # a voice may stay silent on a single odd word
        return None
    if not 0.5 <= len(audio) / SAMPLING_RATE <= MAX_SECONDS:
        return None
    if rng.random() < 0.1:
        audio = through_codec(audio, rng)
    return normalise(text), np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)


def write_chunk(folder: Path, split: str, clips: list[tuple[str, np.ndarray]]) -> None:
    """Write clips as ``SPLIT_NNN.npz``; the name appears when the file is whole."""
    number = len(list(folder.glob(f"{split}_*.npz")))
    temporary = folder / f"part_{split}.npz"
    np.savez(
        temporary,
        samples=np.concatenate([samples for _, samples in clips]),
        lengths=np.array([len(samples) for _, samples in clips]),
        texts=np.array([text for text, _ in clips]),
    )
    temporary.rename(folder / f"{split}_{number:03d}.npz")


def make_corpus(args: argparse.Namespace) -> None:
    """Synthesise development and training speech, noises and rooms into ``args.output``, chunk by chunk."""
    args.output.mkdir(parents=True, exist_ok=True)
    source = training_sentences(args.seed)
    texts = [next(source) for _ in range(args.clips)]
    begin = time.perf_counter()
    with Pool(max(1, len(os.sched_getaffinity(0)) - 1)) as pool:
        np.save(args.output / "noises.npy", np.stack(pool.map(noise_row, range(360), chunksize=4)))
        np.save(args.output / "rooms.npy", np.stack(pool.map(room_row, range(400), chunksize=4)))
        for split, spoken in (("calibration", list(sentences("calibration"))), ("training", texts)):
            rng = np.random.default_rng(args.seed)
            jobs = [(args.seed * 1_000_003 + index, text, draw(voices(split), rng)) for index, text in enumerate(spoken)]
            clips, total, hours = [], 0, 0.0
            for number, clip in enumerate(pool.imap(speak_clip, jobs, chunksize=32), 1):
                if clip is not None:
                    clips.append(clip)
                    hours += len(clip[1]) / SAMPLING_RATE / 3600
                if len(clips) == args.chunk or number == len(jobs):
                    write_chunk(args.output, split, clips)
                    total, clips = total + len(clips), []
            print(f"{split}: {total} clips, {hours:.1f} h, after {time.perf_counter() - begin:.0f} s", flush=True)


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein distance in words."""
    row = list(range(len(hypothesis) + 1))
    for i, left in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(hypothesis, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


class Corpus:
    """Clips on the GPU, dealt out in batches of like length; chunks still being written join later."""

    def __init__(self, work: Path, split: str, device: str) -> None:
        import torch

        self.work, self.split, self.device = work, split, device
        self.samples = torch.zeros(0, dtype=torch.int16, device=device)
        self.lengths = np.zeros(0, dtype=np.int64)
        self.texts: list[str] = []
        self.tokens: list[list[int]] = []
        self.num_chunks = 0
        self.refresh()

    def refresh(self) -> None:
        """Load the chunks that have come since."""
        import torch

        chunks = sorted(self.work.glob(f"{self.split}_*.npz"))
        for path in chunks[self.num_chunks :]:
            with np.load(path, allow_pickle=False) as chunk:
                self.samples = torch.cat([self.samples, torch.from_numpy(chunk["samples"]).to(self.device)])
                self.lengths = np.concatenate([self.lengths, chunk["lengths"]])
                texts = [str(text) for text in chunk["texts"]]
            self.texts += texts
            self.tokens += [[SYMBOLS.index(symbol) for symbol in text] for text in texts]
        self.num_chunks = len(chunks)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])

    def batches(self, seconds: float, rng: np.random.Generator | None) -> list[np.ndarray]:
        """Group clips of like length so that each batch holds about ``seconds`` of audio.

        Clips are sorted into steps of half a second; each step has one batch size, so shapes are few.
        """
        steps = np.ceil(self.lengths / (SAMPLING_RATE / 2)).astype(int)
        groups = []
        for step in np.unique(steps):
            rows = np.flatnonzero(steps == step)
            size = max(8, min(400, int(seconds / (step / 2)) // 8 * 8))
            if rng is None:
                groups += [rows[start : start + size] for start in range(0, len(rows), size)]
                continue
            rows = rng.permutation(rows)
            rows = np.concatenate([rows, rng.choice(rows, -len(rows) % size)])
            groups += list(rows.reshape(-1, size))
        if rng is not None:
            rng.shuffle(groups)
        return groups

    def take(self, rows: np.ndarray) -> tuple[object, object, object, object]:
        """Return audio float32 [batch, samples] on the GPU; lengths, CTC targets and their lengths on the CPU."""
        import torch

        step = SAMPLING_RATE // 2
        size = int(-(-self.lengths[rows].max() // step) * step)
        begin = torch.from_numpy(self.offsets[rows]).to(self.device, non_blocking=True)
        lengths = torch.from_numpy(self.lengths[rows])
        steps = torch.arange(size, device=self.device)
        index = (begin[:, None] + steps).clamp(max=len(self.samples) - 1)
        inside = steps < lengths.to(self.device, non_blocking=True)[:, None]
        audio = self.samples[index].float().div_(32768) * inside
        targets = torch.tensor([token for row in rows for token in self.tokens[row]])
        sizes = torch.tensor([len(self.tokens[row]) for row in rows])
        return audio, lengths, targets, sizes


def greedy(logits: object, num_frames: object, stride: int, blank: int) -> list[str]:
    """Best symbol a frame, repeats and blanks dropped."""
    best = logits.argmax(2).cpu().numpy()  # type: ignore[attr-defined]
    texts = []
    for row, frames in zip(best, num_frames.tolist(), strict=True):  # type: ignore[attr-defined]
        row = row[: -(-frames // stride)]
        kept = row[np.concatenate([[True], row[1:] != row[:-1]])] if len(row) else row
        texts.append(" ".join("".join(SYMBOLS[symbol] for symbol in kept if symbol != blank).split()))
    return texts


def fit(args: argparse.Namespace) -> None:
    """Train until ``args.until`` seconds of this call or ``args.seconds`` in all have passed."""
    import torch
    from torch.nn import functional

    from examples.models.asr_en.augment import (
        HOP_LENGTH,
        Banks,
        change_speed,
        distort,
        mask_spectrogram,
        mel_filters,
        mel_spectrogram,
    )
    from examples.models.asr_en.network import BLANK, STRIDE, Recogniser

    called, device = time.perf_counter(), args.device
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.manual_seed(args.seed)
    corpus, dev = Corpus(args.work, "training", device), Corpus(args.work, "calibration", device)
    banks = Banks(
        torch.from_numpy(np.load(args.work / "noises.npy")).to(device),
        torch.from_numpy(np.load(args.work / "rooms.npy")).to(device),
    )
    filters = mel_filters().to(device)
    model = Recogniser(args.dropout).to(device).to(memory_format=torch.channels_last)
    average = Recogniser(0).to(device).to(memory_format=torch.channels_last).eval()
    average.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=5e-3, fused=True)
    state = {"spent": 0.0, "step": 0, "epoch": 0}
    checkpoint = args.work / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters; {state}", flush=True)

    def evaluate() -> dict[str, float]:
        result = {}
        for name in ("clean", "distorted"):
            torch.manual_seed(1)
            errors = words = 0
            for rows in dev.batches(args.batch_seconds, None):
                audio, lengths, _, _ = dev.take(rows)
                if name == "distorted":
                    audio = distort(audio, lengths, banks)
                with torch.no_grad(), torch.autocast(device, torch.bfloat16):
                    mel, frames = mel_spectrogram(audio, lengths, filters)
                    logits = average(mel)
                for row, text in zip(rows, greedy(logits, frames, STRIDE, BLANK), strict=True):
                    reference = dev.texts[row].split()
                    errors += edit_distance(reference, text.split())
                    words += len(reference)
            result[name] = errors / words
        return result

    begin, base, running, reported = time.perf_counter(), state["spent"], 0.0, time.perf_counter()
    done = False
    while not done:
        corpus.refresh()
        rng = np.random.default_rng((args.seed, state["epoch"]))
        for rows in corpus.batches(args.batch_seconds, rng):
            state["spent"] = base + time.perf_counter() - begin
            progress = state["spent"] / args.seconds
            if progress >= 1 or time.perf_counter() - called > args.until:
                done = True
                break
            rate = args.rate * min(1.0, state["step"] / 500) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-6
            for group in optimizer.param_groups:
                group["lr"] = rate
            audio, lengths, targets, sizes = corpus.take(rows)
            with torch.no_grad():
                audio, lengths = change_speed(audio, lengths)
                audio = distort(audio, lengths, banks)
                mel, frames = mel_spectrogram(audio, lengths, filters)
                mel = mask_spectrogram(mel, frames)
                num_outputs = (1 + lengths // HOP_LENGTH + STRIDE - 1) // STRIDE
            with torch.autocast(device, torch.bfloat16):
                logits = model(mel)
            loss = functional.ctc_loss(
                functional.log_softmax(logits.float(), 2).transpose(0, 1), targets.to(device, non_blocking=True),
                num_outputs, sizes, blank=BLANK, zero_infinity=True,
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            state["step"] += 1
            with torch.no_grad():
                keep = min(0.9995, 1 - 1 / (state["step"] + 1))
                torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
                for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
                    if mine.dtype.is_floating_point:
                        mine.lerp_(theirs, 1 - keep)
            running = loss.detach() if state["step"] == 1 else 0.99 * running + 0.01 * loss.detach()
            if state["step"] % args.report_every == 0:
                now = time.perf_counter()
                wer = evaluate()
                print(
                    f"{state['spent']:5.0f} s  {len(corpus.texts)} clips  step {state['step']}  epoch {state['epoch']}  loss {float(running):.3f}  "
                    f"clean {wer['clean']:.3f}  distorted {wer['distorted']:.3f}  "
                    f"{args.report_every / (now - reported):.1f} steps/s", flush=True,
                )
                reported = time.perf_counter()
        else:
            state["epoch"] += 1
    print("at the end", evaluate(), state, flush=True)
    torch.save(
        {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(), "state": state},
        checkpoint,
    )


def save(args: argparse.Namespace) -> None:
    """Write the averaged weights as FP16 arrays for `export.py`."""
    import torch

    saved = torch.load(args.work / "checkpoint.pt", weights_only=True, map_location="cpu")
    arrays = {
        name: value.half().numpy() if name.endswith("conv.weight") or name == "classifier.weight" else value.float().numpy()
        for name, value in saved["average"].items()
        if not name.endswith("num_batches_tracked")
    }
    np.savez(args.output, **arrays)
    print(f"{args.output}: {args.output.stat().st_size:,} bytes; {saved['state']}")


def main() -> None:
    """Run one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    corpus = commands.add_parser("corpus")
    corpus.add_argument("--clips", type=int, default=100_000)
    corpus.add_argument("--output", type=Path, required=True)
    corpus.add_argument("--chunk", type=int, default=10_000, help="clips in a file")
    corpus.set_defaults(run=make_corpus)
    fitting = commands.add_parser("fit")
    fitting.add_argument("--work", type=Path, required=True)
    fitting.add_argument("--seconds", type=float, default=1200)
    fitting.add_argument("--until", type=float, default=1e9)
    fitting.add_argument("--batch-seconds", type=float, default=700)
    fitting.add_argument("--rate", type=float, default=1.5e-3)
    fitting.add_argument("--dropout", type=float, default=0.1)
    fitting.add_argument("--device", default="cuda")
    fitting.add_argument("--report-every", type=int, default=2000, help="steps between two lines of progress")
    fitting.set_defaults(run=fit)
    saving = commands.add_parser("save")
    saving.add_argument("--work", type=Path, required=True)
    saving.add_argument("--output", type=Path, required=True)
    saving.set_defaults(run=save)
    for command in (corpus, fitting):
        command.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
