"""Train the recogniser on the corpus that `corpus.py` makes, on one GPU or several of one machine.

    python -m examples.models.asr_en.train --work WORK --output asr_en.npz
    torchrun --nproc-per-node 3 -m examples.models.asr_en.train --work WORK --output asr_en.npz

The learning rate follows the time spent. ``--until`` stops a call early; another call goes on from where it
was. The weights that are written are a running average of those that were trained.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed
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
from examples.models.asr_en.corpus import SYMBOLS, Corpus
from examples.models.asr_en.network import BLANK, STRIDE, Architecture, Recogniser

AVERAGE_DECAY = 0.9995
WARM_UP_STEPS = 1000
HALFWAY_SHARE = 0.3
CLOCK_STEPS = 20


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """Count the word substitutions, deletions and insertions between two texts (Levenshtein 1966)."""
    row = list(range(len(hypothesis) + 1))
    for i, left in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(hypothesis, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


def greedy(logits: Any, num_outputs: list[int]) -> list[str]:
    """Read the best symbol of each frame, repeats and blanks dropped."""
    best: NDArray[np.int64] = logits.argmax(2).cpu().numpy()
    texts = []
    for row, length in zip(best, num_outputs, strict=True):
        row = row[:length]
        kept = row[np.concatenate([[True], row[1:] != row[:-1]])]
        texts.append(" ".join("".join(SYMBOLS[symbol] for symbol in kept if symbol != BLANK).split()))
    return texts


def output_lengths(lengths: Any) -> Any:
    """Convert samples to output frames."""
    return (1 + lengths // HOP_LENGTH + STRIDE - 1) // STRIDE


class Trainer:
    """Network, running average, optimizer and data of one process."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = args.device if args.device != "cuda" else f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        if self.device.startswith("cuda"):
            torch.cuda.set_device(self.device)
        if self.world > 1:
            distributed.init_process_group("nccl" if self.device.startswith("cuda") else "gloo")
        torch.manual_seed(args.seed * 1000 + self.rank)
        torch.backends.cuda.matmul.allow_tf32 = True
        self.corpus = Corpus(args.work, "training", self.device)
        self.dev = Corpus(args.work, "calibration", self.device)
        self.dev.refresh(self.dev.num_written())
        noises, rooms = (
            torch.from_numpy(np.load(args.work / f"{name}.npy")).to(self.device)
            for name in ("noises", "rooms")
        )
        self.banks, self.filters = Banks(noises, rooms), mel_filters().to(self.device)
        shape = Architecture()
        layout = torch.channels_last
        self.model = Recogniser(shape, args.dropout).to(self.device).to(memory_format=layout)
        self.average = Recogniser(shape, 0).to(self.device).to(memory_format=layout).eval()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=args.rate, betas=(0.9, 0.98), weight_decay=5e-3, fused=True
        )
        self.spent, self.step, self.epoch = 0.0, 0, 0
        self.checkpoint = args.output.with_suffix(".pt")
        if self.checkpoint.exists():
            self._resume()
        else:
            if args.start_from is not None:
                self._start_from(args.start_from)
            self.average.load_state_dict(self.model.state_dict())
        self.parallel: Any = self.model
        if self.world > 1:
            devices = [self.device] if self.device.startswith("cuda") else None
            self.parallel = torch.nn.parallel.DistributedDataParallel(
                self.model, device_ids=devices, broadcast_buffers=False
            )

    def _start_from(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            weights = {
                name: torch.from_numpy(arrays[name]).float() for name in arrays if name != "architecture"
            }
        absent = self.model.load_state_dict(weights, strict=False)
        if absent.unexpected_keys or any(
            "middle." not in name and "num_batches" not in name for name in absent.missing_keys
        ):
            raise SystemExit(f"{path} does not hold the weights of this network")

    def _resume(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(saved[name])
        self.spent, self.step, self.epoch = saved["spent"], saved["step"], saved["epoch"]

    def save(self) -> None:
        """Write the checkpoint, and the average's weights: FP16 for convolutions, FP32 for the rest."""
        torch.save(
            {
                **{name: getattr(self, name).state_dict() for name in ("model", "average", "optimizer")},
                **{name: getattr(self, name) for name in ("spent", "step", "epoch")},
            },
            self.checkpoint,
        )
        is_wide = {"conv.weight", "classifier.weight"}
        arrays = {
            name: (value.half() if any(name.endswith(end) for end in is_wide) else value.float())
            .cpu()
            .numpy()
            for name, value in self.average.state_dict().items()
            if not name.endswith("num_batches_tracked") and not name.startswith("middle.")
        }
        shape = json.dumps(asdict(Architecture()))
        np.savez(self.args.output, architecture=np.array(shape), **arrays)

    def run(self) -> None:
        """Train until the time is up."""
        called = reported = time.perf_counter()
        base, progress, running = self.spent, 0.0, torch.zeros((), device=self.device)
        self.say(f"{sum(p.numel() for p in self.model.parameters()):,} parameters, {self.world} processes")
        while True:
            self.corpus.refresh(*self._agree([self.corpus.num_written()]))
            rng = np.random.default_rng([self.args.seed, self.epoch])
            groups = self.corpus.batches(self.args.batch_seconds, rng)
            for rows in groups[self.rank : len(groups) // self.world * self.world : self.world]:
                if self.step % CLOCK_STEPS == 0:
                    now = time.perf_counter() - called
                    self.spent, elapsed = self._agree([base + now, now])
                    progress = self.spent / self.args.seconds
                    if progress >= 1 or elapsed > self.args.until:
                        self.say(f"at the end, {self.spent:.0f} s: step {self.step}, {self.evaluate()}")
                        return
                loss = self.train_step(rows, progress)
                running = loss if self.step == 1 else 0.99 * running + 0.01 * loss
                if self.step % self.args.report_every == 0 and self.rank == 0:
                    rate = self.args.report_every / (time.perf_counter() - reported)
                    self.say(
                        f"{self.spent:5.0f} s  {len(self.corpus.texts)} clips  step {self.step}  "
                        f"epoch {self.epoch}  loss {float(running):.3f}  {self.evaluate()}  "
                        f"{rate:.1f} steps/s"
                    )
                    reported = time.perf_counter()
            self.epoch += 1

    def train_step(self, rows: NDArray[np.int64], progress: float) -> Any:
        """Take one step on a freshly distorted batch; return its loss per symbol."""
        warm_up = min(1.0, self.step / WARM_UP_STEPS)
        for group in self.optimizer.param_groups:
            group["lr"] = self.args.rate * warm_up * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-6
        audio, lengths, targets, sizes = self.corpus.take(rows)
        with torch.no_grad():
            audio, lengths = change_speed(audio, lengths)
            audio = distort(audio, lengths, self.banks)
            mel, frames = mel_spectrogram(audio, lengths, self.filters)
            mel = mask_spectrogram(mel, frames)
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16):
            logits = self.parallel(mel)
        losses = functional.ctc_loss(
            functional.log_softmax(logits.float(), 2).transpose(0, 1),
            targets.repeat(2).to(self.device, non_blocking=True),
            output_lengths(lengths).repeat(2),
            sizes.repeat(2),
            blank=BLANK,
            reduction="none",
            zero_infinity=True,
        )
        final, half = (losses / sizes.repeat(2).to(self.device, non_blocking=True)).view(2, -1).mean(1)
        loss = (1 - HALFWAY_SHARE) * final + HALFWAY_SHARE * half
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return final.detach()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _update_average(self) -> None:
        share = max(1 - AVERAGE_DECAY, 1 / (self.step + 1))
        for mine, theirs in (
            (self.average.parameters(), self.model.parameters()),
            (self.average.buffers(), self.model.buffers()),
        ):
            pairs = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.dtype.is_floating_point]
            torch._foreach_lerp_([a for a, _ in pairs], [b for _, b in pairs], share)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def evaluate(self) -> str:
        """Recognise the development speech, clean and distorted; return the two word error rates in words."""
        found = []
        for name in ("clean", "distorted"):
            errors = words = 0
            for rows in self.dev.batches(self.args.batch_seconds, None):
                audio, lengths, _, _ = self.dev.take(rows)
                if name == "distorted":
                    audio = distort(audio, lengths, self.banks)
                mel, _ = mel_spectrogram(audio, lengths, self.filters)
                with torch.autocast(self.device.partition(":")[0], torch.bfloat16):
                    texts = greedy(self.average(mel), output_lengths(lengths).tolist())
                for row, text in zip(rows, texts, strict=True):
                    reference = self.dev.texts[row].split()
                    errors += edit_distance(reference, text.split())
                    words += len(reference)
            found.append(f"{name} {errors / words:.3f}")
        return "  ".join(found)

    def say(self, text: str) -> None:
        """Print from the first process only."""
        if self.rank == 0:
            print(text, flush=True)

    def _agree(self, values: list[Any]) -> list[Any]:
        """Return the first process's values in every process."""
        if self.world == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return [type(value)(got) for value, got in zip(values, shared.tolist(), strict=True)]


def main() -> None:
    """Train, and write checkpoint and weights."""
    parser = argparse.ArgumentParser(description="Train the recogniser on a corpus.")
    parser.add_argument("--work", type=Path, required=True, help="the folder that corpus.py writes to")
    parser.add_argument("--output", type=Path, required=True, help="where the weights go, .npz")
    parser.add_argument("--start-from", type=Path, help="weights to begin with, .npz")
    parser.add_argument("--seconds", type=float, default=800, help="training time in all")
    parser.add_argument("--until", type=float, default=math.inf, help="training time of this call")
    parser.add_argument("--batch-seconds", type=float, default=1100, help="audio in a batch of one GPU")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--dropout", type=float, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--report-every", type=int, default=2000, help="steps between two lines of progress")
    parser.add_argument("--seed", type=int, default=1)
    trainer = Trainer(parser.parse_args())
    trainer.run()
    if trainer.rank == 0:
        trainer.save()
    if trainer.world > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
