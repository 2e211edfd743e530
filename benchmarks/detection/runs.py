"""Run variants of one quantized network over clips: word errors and SNR of each clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from trtforge.accuracy import AccuracyReport
from trtforge.accuracy import evaluate as evaluate_runners
from trtforge.audio import ClipSet, features_for_model
from trtforge.checks import Baseline
from trtforge.feeds import Feed
from trtforge.pipeline import quantize
from trtforge.runtime import OnnxRunner
from trtforge.scales import Scales
from trtforge.speech import CtcDecoder


@dataclass(frozen=True)
class Outcome:
    """What a candidate made of every clip.

    Parameters
    ----------
    errors : word errors, int [num_clips].
    snr_db : SNR of the scores against FP32, float [num_clips], in dB.
    """

    errors: NDArray[np.int64]
    snr_db: NDArray[np.float64]

    def take(self, draw: NDArray[np.intp]) -> Outcome:
        """Return what became of some clips, in the order given."""
        return Outcome(self.errors[draw], self.snr_db[draw])

    def to_json(self) -> dict[str, list[int] | list[float]]:
        """Return plain lists, SNR to a hundredth of a dB, as baselines keep it."""
        return {"errors": self.errors.tolist(), "snr_db": np.round(self.snr_db, 2).tolist()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Outcome:
        """Take what `to_json` gave."""
        return cls(np.array(row["errors"], np.int64), np.array(row["snr_db"], np.float64))


@dataclass(frozen=True)
class _HeldFeeds:
    """Feeds that were made once."""

    digest: str
    feeds: tuple[Feed, ...]

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feed]:
        return iter(self.feeds)


class Laboratory:
    """The clips, the reference's outputs on them, and a way to run any variant of the candidate.

    Parameters
    ----------
    model : the network in FP32.
    clips : what it is run on, with texts.
    """

    def __init__(self, model: onnx.ModelProto, clips: ClipSet) -> None:
        self._model, self._decoder = model, CtcDecoder.for_model(model)
        source = clips.feeds(features_for_model(model))
        self._feeds = _HeldFeeds(source.digest, tuple(source))
        self._texts = clips.texts()
        with OnnxRunner(model) as runner:
            self._reference = [runner.run(feed.arrays) for feed in self._feeds]
        self.words = np.array(
            [len(self._texts[clip_id].split()) for feed in self._feeds for clip_id in feed.clip_ids]
        )

    def run(self, scales: Scales) -> Outcome:
        """Quantize with these scales and recognise every clip."""
        held = iter(self._reference)
        with OnnxRunner(quantize(self._model, scales)) as runner:
            report: AccuracyReport = evaluate_runners(
                {"fp32": lambda arrays: next(held), "int8": runner},
                self._feeds,
                decode=self._decoder.decode,
                references=self._texts,
                output_lengths=self._decoder.output_lengths,
            )
        clips = Baseline.from_report(report).clips.values()
        output = self._decoder.output
        return Outcome(
            np.array([clip.errors for clip in clips]), np.array([clip.snr_db[output] for clip in clips])
        )


def nearly(scales: Scales, generator: np.random.Generator, noise: float) -> Scales:
    """Move every range a little, as another build of the same engine moves its roundings."""
    return replace(
        scales,
        tensors={
            name: replace(entry, amax=entry.amax * (1 + generator.uniform(-noise, noise)))
            for name, entry in scales.tensors.items()
        },
    )


def broken(scales: Scales, tensor: str, factor: float) -> Scales:
    """Multiply the range of one tensor."""
    entry = scales[tensor]
    return replace(scales, tensors={**scales.tensors, tensor: replace(entry, amax=entry.amax * factor)})


def run_all(
    laboratory: Laboratory,
    scales: Scales,
    *,
    rebuilds: int,
    noise: float,
    factors: Sequence[float],
    on_progress: Callable[[int, int], None],
) -> tuple[Outcome, list[Outcome], list[dict[str, Any]]]:
    """Run the accepted candidate, its rebuilds, and one variant for each tensor and factor."""
    generator = np.random.default_rng(0)
    variants = [(tensor, factor) for factor in factors for tensor in scales]
    total = 1 + rebuilds + len(variants)
    accepted = laboratory.run(scales)
    on_progress(1, total)
    same = []
    for index in range(rebuilds):
        same.append(laboratory.run(nearly(scales, generator, noise)))
        on_progress(2 + index, total)
    spoiled = []
    for index, (tensor, factor) in enumerate(variants):
        outcome = laboratory.run(broken(scales, tensor, factor))
        spoiled.append({"tensor": tensor, "factor": factor, "outcome": outcome})
        on_progress(2 + rebuilds + index, total)
    return accepted, same, spoiled
