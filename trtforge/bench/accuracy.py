"""How far each contender's outputs, and the words read from them, lie from the network's in FP32."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import is_installed
from trtforge.accuracy import AccuracyReport, evaluate
from trtforge.audio import features_for_model
from trtforge.bench.config import BenchConfig, Case
from trtforge.bench.contenders import CONTENDERS
from trtforge.bench.member import Member
from trtforge.bench.subject import Subject
from trtforge.errors import ConfigError, TrtforgeError
from trtforge.feeds import ArrayFeeds, Arrays, Feed, Feeds
from trtforge.model import TensorSpec
from trtforge.nvidia.telemetry import Telemetry
from trtforge.speech import CtcDecoder

_REFERENCE = "reference"


def measure_accuracy(
    subject: Subject,
    specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
    members: Sequence[Member],
    config: BenchConfig,
) -> dict[str, dict[str, Any]]:
    """Compare each member with the network in ONNX Runtime in FP32 on the CPU.

    Outputs are compared on the clips of the subject, with the errors of the words in them, or else on its
    input. All run in batches of one shape, to which clips are padded, so that padding is the same for all.

    Returns
    -------
    Contender to ``accuracy``: ``snr_db`` and ``argmax_agreement`` of each output (None where not finite), and
    ``wer`` with its rate, interval, errors and words, or None; or ``accuracy_failed`` with the reason.

    Raises
    ------
    ConfigError : a clip is longer than every case.
    """
    if not is_installed("onnxruntime"):
        return {
            member.contender.name: {"accuracy_failed": "the reference needs ONNX Runtime"}
            for member in members
        }
    case = _widest(subject.cases) if subject.clips is not None else min(subject.cases, key=lambda x: x.batch)
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        try:
            reference = stack.enter_context(
                Member(
                    subject,
                    CONTENDERS["onnxruntime-fp32"],
                    specs,
                    config,
                    python=None,
                    folder=subject.model.parent,
                    telemetry=Telemetry(),
                )
            )
        except TrtforgeError as error:
            reason = f"the reference did not load: {error.message}"
            return {member.contender.name: {"accuracy_failed": reason} for member in members}
        known = _Remembered(_Batches(reference, case))
        for member in members:
            name = member.contender.name
            known.rewind()
            runners = {_REFERENCE: known, name: _Batches(member, case)}
            try:
                found[name] = {"accuracy": _figures(_evaluate(subject, specs, runners, case, config), name)}
            except ConfigError:
                raise
            except TrtforgeError as error:
                found[name] = {"accuracy_failed": error.message}
    return found


class _Remembered:
    """Gives again what a runner gave, in the same order."""

    def __init__(self, runner: _Batches) -> None:
        self._runner, self._at = runner, 0
        self._given: list[dict[str, NDArray[Any]]] = []

    def rewind(self) -> None:
        self._at = 0

    def __call__(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        if self._at == len(self._given):
            self._given.append(self._runner(arrays))
        self._at += 1
        return self._given[self._at - 1]


class _Batches:
    """Runs a member on batches of one size, whatever comes."""

    def __init__(self, member: Member, case: Case) -> None:
        self._member, self._batch = member, case.batch

    def __call__(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        count = len(next(iter(arrays.values())))
        parts = []
        for start in range(0, count, self._batch):
            piece = {name: array[start : start + self._batch] for name, array in arrays.items()}
            rows = len(next(iter(piece.values())))
            missing = self._batch - rows
            full = {
                name: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
                for name, array in piece.items()
            }
            made = self._member.run(full)
            parts.append({name: array[:rows] for name, array in made.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class _Padded:
    """Feeds padded with zeros to one length; their true lengths stay known."""

    def __init__(self, feeds: Feeds, frames: int) -> None:
        self._feeds, self._frames = feeds, frames

    @property
    def digest(self) -> str:
        return self._feeds.digest

    def __len__(self) -> int:
        return len(self._feeds)

    def __iter__(self) -> Iterator[Feed]:
        for feed in self._feeds:
            arrays = {}
            for name, array in feed.arrays.items():
                missing = self._frames - array.shape[-1]
                if missing < 0:
                    raise ConfigError(
                        f"clip {feed.clip_ids[0]!r} has {array.shape[-1]} frames, the longest case has "
                        f"{self._frames}",
                        hint="give longer --frames, or leave the clips out",
                        settings=("frames",),
                    )
                arrays[name] = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])
            yield replace(feed, arrays=arrays)


def _evaluate(
    subject: Subject,
    specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
    runners: dict[str, Any],
    case: Case,
    config: BenchConfig,
) -> AccuracyReport:
    if subject.clips is None:
        rows = subject.input_rows(case, specs[0])
        feeds = ArrayFeeds([{name: array[: config.accuracy_rows] for name, array in rows.items()}])
        return evaluate(runners, feeds, on_nonfinite="report")
    if case.frames is None:
        raise ConfigError(f"{subject.name}: clips need a length in frames", settings=("frames",))
    decoder = CtcDecoder.for_model(subject.model)
    feeds_of_clips = subject.clips.feeds(features_for_model(subject.model), batch_size=case.batch)
    return evaluate(
        runners,
        _Padded(feeds_of_clips, case.frames),
        decode=decoder.decode,
        references=subject.clips.texts(),
        output_lengths=decoder.output_lengths,
        on_nonfinite="report",
    )


def _figures(report: AccuracyReport, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "snr_db": {output: _finite(metrics.snr_db) for output, metrics in report.outputs[name].items()},
        "argmax_agreement": {
            output: _finite(metrics.argmax_agreement) for output, metrics in report.outputs[name].items()
        },
        "num_clips": report.num_clips,
        "nonfinite": len(report.nonfinite.get(name, ())),
        "wer": None,
    }
    if report.overall is not None and report.overall.num_words:
        rate = report.overall.runners[name].wer
        found["wer"] = {
            "rate": rate.rate,
            "interval": [rate.interval.low, rate.interval.high] if rate.interval else None,
            "errors": rate.counts.num_errors,
            "words": rate.counts.num_reference,
        }
    return found


def _widest(cases: Sequence[Case]) -> Case:
    """Return the case of the most frames; among those, of a batch near 8."""
    longest = max(case.frames or 0 for case in cases)
    return min((case for case in cases if (case.frames or 0) == longest), key=lambda x: abs(x.batch - 8))


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
