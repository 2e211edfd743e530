"""Speech to train on: synthesised in chunks on all cores, dealt out in batches on the GPU.

    python -m examples.models.asr_en.corpus --clips 200000 --output WORK

Training may begin when the first chunk is written; it takes up the others as they come.
"""

from __future__ import annotations

import argparse
import os
import time
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from calibration_sets.synthesis.speak import SpeechError, speak
from calibration_sets.synthesis.texts import normalise, sentences, training_sentences
from calibration_sets.synthesis.voices import Voice, draw, voices
from examples.models.asr_en.surroundings import SAMPLING_RATE, noise_row, room_row, through_codec

MAX_SECONDS = 9.0
SYMBOLS = " '" + "abcdefghijklmnopqrstuvwxyz"
FLITE_SHARE = 0.25

Split = Literal["training", "calibration"]
Indices = NDArray[np.int64]


class Job(NamedTuple):
    """One clip to be spoken."""

    seed: int
    text: str
    voice: Voice


def speak_clip(job: Job) -> tuple[str, NDArray[np.int16]] | None:
    """Speak one sentence at a random pace and pitch; None where it is too long or the voice stays silent.

    The few flite speakers are made many by playing most of their clips faster or slower, which moves formants
    too. One clip in ten goes through a codec.
    """
    rng = np.random.default_rng(job.seed)
    shift = int(rng.integers(84, 119)) if job.voice.engine == "flite" and rng.random() < 0.6 else 100
    pace = float(np.clip(rng.uniform(95, 210) * 100 / shift, 80, 300))
    pitch = float(np.clip(rng.normal(50, 22), 0, 99))
    try:
        audio = speak(job.text, job.voice, words_per_minute=pace, pitch=pitch)
    except SpeechError:
        return None
    if shift != 100:
        audio = np.asarray(resample_poly(audio, 100, shift), np.float32)
    if not 0.5 <= len(audio) / SAMPLING_RATE <= MAX_SECONDS:
        return None
    if rng.random() < 0.1:
        audio = through_codec(audio, rng)
    return normalise(job.text), np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)


def write_chunk(folder: Path, split: Split, clips: list[tuple[str, NDArray[np.int16]]]) -> None:
    """Write samples as ``SPLIT_NNN.npy`` and, when that is whole, texts and lengths as ``SPLIT_NNN.npz``."""
    number = len(list(folder.glob(f"{split}_*.npz")))
    np.save(folder / f"{split}_{number:03d}.npy", np.concatenate([samples for _, samples in clips]))
    temporary = folder / f"part_{split}.npz"
    np.savez(
        temporary,
        lengths=np.array([len(samples) for _, samples in clips]),
        texts=np.array([text for text, _ in clips]),
    )
    temporary.rename(folder / f"{split}_{number:03d}.npz")


def make_corpus(output: Path, num_clips: int, *, chunk: int, seed: int) -> None:
    """Synthesise development and training speech, noises and rooms, chunk by chunk."""
    output.mkdir(parents=True, exist_ok=True)
    source = training_sentences(seed)
    texts: dict[Split, list[str]] = {
        "calibration": list(sentences("calibration")),
        "training": [next(source) for _ in range(num_clips)],
    }
    begin = time.perf_counter()
    with Pool(max(1, len(os.sched_getaffinity(0)) - 1)) as pool:
        np.save(output / "noises.npy", np.stack(pool.map(noise_row, range(360), chunksize=4)))
        np.save(output / "rooms.npy", np.stack(pool.map(room_row, range(400), chunksize=4)))
        for split, spoken in texts.items():
            rng = np.random.default_rng(seed)
            jobs = [
                Job(seed * 1_000_003 + index, text, draw(voices(split), rng, flite=FLITE_SHARE))
                for index, text in enumerate(spoken)
            ]
            clips: list[tuple[str, NDArray[np.int16]]] = []
            total, hours = 0, 0.0
            for number, clip in enumerate(pool.imap(speak_clip, jobs, chunksize=32), 1):
                if clip is not None:
                    clips.append(clip)
                    hours += len(clip[1]) / SAMPLING_RATE / 3600
                if clips and (len(clips) == chunk or number == len(jobs)):
                    write_chunk(output, split, clips)
                    total, clips = total + len(clips), []
            print(
                f"{split}: {total} clips, {hours:.1f} h, after {time.perf_counter() - begin:.0f} s",
                flush=True,
            )


class Corpus:
    """Clips on the GPU, none at first; `refresh` takes up the chunks that have been written."""

    def __init__(self, work: Path, split: Split, device: str) -> None:
        import torch

        self.work, self.split, self.device = work, split, device
        self.samples: Any = torch.zeros(0, dtype=torch.int16, device=device)
        self.lengths: Indices = np.zeros(0, dtype=np.int64)
        self.offsets: Indices = np.zeros(1, dtype=np.int64)
        self.texts: list[str] = []
        self.tokens: list[list[int]] = []
        self.num_chunks = 0

    def num_written(self) -> int:
        """Count the chunks that can be loaded."""
        return len(list(self.work.glob(f"{self.split}_*.npz")))

    def refresh(self, num_chunks: int) -> None:
        """Load the chunks that have come since, up to ``num_chunks`` in all."""
        for number in range(self.num_chunks, num_chunks):
            path = self.work / f"{self.split}_{number:03d}.npz"
            with np.load(path, allow_pickle=False) as chunk:
                self._append(np.load(path.with_suffix(".npy"), mmap_mode="c"))
                self.lengths = np.concatenate([self.lengths, chunk["lengths"]])
                texts = [str(text) for text in chunk["texts"]]
            self.texts += texts
            self.tokens += [[SYMBOLS.index(symbol) for symbol in text] for text in texts]
            self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.num_chunks = num_chunks

    def _append(self, samples: NDArray[np.int16]) -> None:
        """Put samples behind those that are there, in memory that doubles when it is full."""
        import torch

        begin = int(self.offsets[-1])
        end = begin + len(samples)
        if end > len(self.samples):
            grown = torch.empty(max(end, 2 * len(self.samples)), dtype=torch.int16, device=self.device)
            grown[:begin] = self.samples[:begin]
            self.samples = grown
        self.samples[begin:end] = torch.from_numpy(samples)

    def batches(self, seconds: float, rng: np.random.Generator | None) -> list[Indices]:
        """Group clips of like length so that each batch holds about ``seconds`` of audio.

        Clips are sorted into steps of half a second; each step has one batch size, so shapes are few.
        """
        steps = np.ceil(self.lengths / (SAMPLING_RATE / 2)).astype(int)
        groups: list[Indices] = []
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

    def take(self, rows: Indices) -> tuple[Any, Any, Any, Any]:
        """Return audio float32 [batch, samples] on the GPU; lengths, targets, their lengths on the CPU."""
        import torch

        step = SAMPLING_RATE // 2
        size = int(-(-self.lengths[rows].max() // step) * step)
        begin = torch.from_numpy(self.offsets[rows]).to(self.device, non_blocking=True)
        lengths = torch.from_numpy(self.lengths[rows])
        steps = torch.arange(size, device=self.device)
        index = (begin[:, None] + steps).clamp(max=int(self.offsets[-1]) - 1)
        inside = steps < lengths.to(self.device, non_blocking=True)[:, None]
        audio = self.samples[index].float().div_(32768) * inside
        targets = torch.tensor([token for row in rows for token in self.tokens[row]])
        sizes = torch.tensor([len(self.tokens[row]) for row in rows])
        return audio, lengths, targets, sizes


def main() -> None:
    """Synthesise a corpus."""
    parser = argparse.ArgumentParser(description="Synthesise speech to train the recogniser on.")
    parser.add_argument("--clips", type=int, default=200_000)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--chunk", type=int, default=8_000, help="clips in a file")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    make_corpus(args.output, args.clips, chunk=args.chunk, seed=args.seed)


if __name__ == "__main__":
    main()
