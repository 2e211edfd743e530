"""Measure one network stage by stage, and keep what is known whenever a stage fails."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.native_calibrator import calibrate
from benchmarks.native_calibrator.accuracy import NATIVE, OURS, output_errors, word_errors
from benchmarks.native_calibrator.bins import count_bins
from benchmarks.native_calibrator.compare import Comparison, compare
from benchmarks.native_calibrator.evidence import Evidence, sharing_tensors
from benchmarks.native_calibrator.networks import TITLES, Subject, make_subject, total_rows
from benchmarks.native_calibrator.statistics import summarise_times
from benchmarks.native_calibrator.timing import time_engines
from trtforge.calibration import Observations, cache_tensors
from trtforge.engine import Engine
from trtforge.errors import ReportError
from trtforge.model import model_digest
from trtforge.nvidia import Flavor
from trtforge.nvidia.v8 import V8

AGAIN = "native, again"
TABLES = ("networks", "tensors", "rules", "engines", "times", "rates")
COUNT_BINS = "count over TensorRT's bins"
# Distinct inputs that are timed in rotation.
_NUM_INPUTS = 4

Record = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How to measure.

    Parameters
    ----------
    evidence : folder for the caches and counts of each network.
    time_limit_s : stages that can be left out begin only before this many seconds of the whole run.
    limit : at most so many batches and test clips.
    level : the builder's optimization level; None is the library's default.
    repetitions : turns of each engine when they are timed.
    """

    evidence: Path
    time_limit_s: float = 225.0
    limit: int | None = None
    level: int | None = None
    repetitions: int = 300


@dataclass
class Measurement:
    """One network's results so far; ``rows`` has a list for each of `TABLES`."""

    name: str
    flavor: Flavor
    options: Options
    began: float
    save: Callable[[], None]
    rows: dict[str, list[Record]] = field(default_factory=lambda: {table: [] for table in TABLES})
    subject: Subject | None = None
    evidence: Evidence | None = None

    def run(self) -> None:
        """Calibrate both ways, compare, build, time, and count errors; a failure is recorded, not raised."""
        summary: Record = {"network": self.name, "title": TITLES[self.name], "failed": None, "seconds": {}}
        self.rows["networks"] = [summary]
        if self._has_time(0.0, "everything"):
            with self._recorded():
                self._run(summary)

    def calibrate_without_tf32(self) -> None:
        """Calibrate natively once more in full FP32, for the scales alone; a failure is recorded."""
        seconds = self.rows["networks"][0]["seconds"] if self.rows["networks"] else {}
        if self.subject is None or self.evidence is None or not isinstance(self.flavor, V8):
            return
        if not self._has_time(seconds.get("calibrate natively", 0.0), "calibrate without TF32"):
            return
        with self._recorded():
            with self._stage("calibrate without TF32"):
                flavor = calibrate.V8WithoutTf32(self.flavor.version)
                _, cache = calibrate.calibrate_natively(
                    self.subject, flavor, timing_cache=self._folder / "timing.cache", level=0
                )
                self.evidence = replace(self.evidence, without_tf32=cache)
                self.evidence.save(self._folder)
            self._compare(self.evidence)

    @property
    def _folder(self) -> Path:
        return self.options.evidence / self.name

    def _run(self, summary: Record) -> None:
        options, timing_cache = self.options, self._folder / "timing.cache"
        with self._stage("load"):
            self.subject = subject = make_subject(self.name, limit=options.limit)
            self._folder.mkdir(parents=True, exist_ok=True)
            # One that an earlier run left would spare this run the timings, and change them.
            timing_cache.unlink(missing_ok=True)
            summary |= described(subject, self.flavor, options)
        with self._stage("parse"):
            names = calibrate.parsed_names(subject.model, self.flavor)
        with self._stage("calibrate natively"):
            native, cache = calibrate.calibrate_natively(
                subject, self.flavor, timing_cache=timing_cache, level=options.level
            )
        with self._stage("observe"):
            first, total = calibrate.observe(subject)
            sharing = sharing_tensors(subject.model, cache_tensors(subject.model))
            self.evidence = Evidence(cache, first, total, names, sharing)
            self.evidence.save(self._folder)
        with self._recorded():
            self._build_and_measure(subject, native, total, names)
        # What is left out here is made up for by `--again`, which needs no GPU.
        if self._has_time(summary["seconds"]["observe"], COUNT_BINS):
            with self._recorded(), self._stage(COUNT_BINS):
                bins = count_bins(subject.model, subject.batches, first, total)
                self.evidence = replace(self.evidence, bins=bins)
                self.evidence.save(self._folder)
        self._compare(self.evidence)

    def _build_and_measure(
        self, subject: Subject, native: Engine, total: Observations, names: Mapping[str, str]
    ) -> None:
        timing_cache = self._folder / "timing.cache"
        with self._stage("build from our cache"):
            content = calibrate.our_cache(total, self.flavor, names)
            (self._folder / "ours.cache").write_bytes(content)
            ours = calibrate.build_from_cache(
                subject, self.flavor, content, timing_cache=timing_cache, level=self.options.level
            )
        engines = {NATIVE: native, OURS: ours}
        self.rows["engines"] = [engine_row(self.name, name, engine) for name, engine in engines.items()]
        with self._recorded():
            self._time(subject, engines)
        with self._recorded(), self._stage("outputs"):
            errors = output_errors(subject, engines)
            for row in self.rows["engines"]:
                row |= errors[row["engine"]]
        if subject.has_words and self._has_time(0.0, "count word errors"):
            with self._recorded(), self._stage("count word errors"):
                rates = word_errors(engines, limit=self.options.limit)
                self.rows["rates"] = [{"network": self.name, **row} for row in rates]

    def _time(self, subject: Subject, engines: dict[str, Engine]) -> None:
        with self._stage("time"):
            contenders = {**engines, AGAIN: engines[NATIVE]}
            inputs = subject.batches[:_NUM_INPUTS]
            times = time_engines(contenders, inputs, repetitions=self.options.repetitions)
            found = summarise_times(times.samples_ms, NATIVE)
            self.rows["times"] = [{"network": self.name, **row} for row in found]
            self.rows["networks"][0] |= {
                "launches": times.launches,
                "launched_by": times.launched_by,
                "clocks": list(times.clocks),
            }

    def _compare(self, evidence: Evidence) -> None:
        with self._stage("compare scales"):
            self.rows |= compared_rows(self.name, compare(evidence), self.rows["networks"][0])

    def _has_time(self, seconds: float, what: str) -> bool:
        left = self.options.time_limit_s - (time.perf_counter() - self.began)
        if left < seconds:
            self.rows["networks"][0].setdefault("left_out", []).append(what)
            print(f"{self.name}: {what}: left out, {left:.0f} s are left of the time limit", flush=True)
            return False
        return True

    @contextmanager
    def _stage(self, what: str) -> Iterator[None]:
        print(f"{self.name}: {what} ...", flush=True)
        begin = time.perf_counter()
        try:
            yield
        finally:
            seconds = round(time.perf_counter() - begin, 1)
            taken = self.rows["networks"][0]["seconds"]
            taken.pop(what, None)
            taken[what] = seconds
            print(f"{self.name}: {what}: {seconds:.1f} s", flush=True)
            self.save()

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            summary = self.rows["networks"][0]
            last = next(reversed(summary["seconds"]), "beginning")
            said = f"{last}: {type(error).__name__}: {error}"
            summary["failed"] = f"{summary['failed']}; {said}" if summary["failed"] else said
            traceback.print_exc()
            self.save()


def described(subject: Subject, flavor: Flavor, options: Options) -> Record:
    """Describe a subject and how its engines are built, as plain JSON values."""
    (ranges,) = subject.profile.shapes.values()
    return {
        "model_sha256": model_digest(subject.model),
        "num_batches": len(subject.batches),
        "num_rows": total_rows(subject.batches),
        "shape": list(ranges.opt),
        "library": str(flavor),
        "optimization_level": options.level,
    }


def with_bins(evidence: Evidence, summary: Mapping[str, Any]) -> Evidence:
    """Count a network's batches over TensorRT's bins, after the fact: no GPU is needed.

    Parameters
    ----------
    evidence : of the network, without such counts.
    summary : the network's row of the result.

    Raises
    ------
    ReportError : this checkout makes another network than the one that was measured.
    """
    subject = make_subject(summary["network"], limit=summary["num_batches"])
    made, measured = model_digest(subject.model), summary["model_sha256"]
    if made != measured:
        raise ReportError(
            f"{subject.name}: network {measured[:12]} was measured, and this checkout makes {made[:12]}",
            hint="check out the commit that the result names, or measure again",
        )
    bins = count_bins(subject.model, subject.batches, evidence.first, evidence.total)
    return replace(evidence, bins=bins)


def engine_row(network: str, name: str, engine: Engine) -> Record:
    """Describe an engine."""
    made = engine.manifest
    return {
        "network": network,
        "engine": name,
        "layer_precisions": dict(made.layer_precisions or {}),
        "plan_bytes": made.plan_bytes,
        "build_seconds": made.build_seconds,
    }


def compared_rows(network: str, found: Comparison, summary: Record) -> dict[str, list[Record]]:
    """Return the tables that a comparison of scales fills; its counts go into the network's summary."""

    def named(rows: Sequence[Record]) -> list[Record]:
        return [{"network": network, **row} for row in rows]

    counts = found.summary()
    if counts["num_over_bins"] and "left_out" in summary:
        summary = {**summary, "left_out": [what for what in summary["left_out"] if what != COUNT_BINS]}
    return {
        "networks": [{**summary, **counts}],
        "tensors": named(found.tensors),
        "rules": named(found.rules),
    }
