"""Overload a worker on this machine's CPU over HTTP, let it recover, and measure what its metrics cost.

    python -m benchmarks.bench_serving

The bundled recogniser is the full model. The lighter one is a stand-in of random weights with its interface:
what it spells means nothing, and what is measured is what becomes of requests. Overload is simulated in
``tests/serving/test_policy.py``, with service times that do what they will; here it is real.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from benchmarks.environment import describe_run
from benchmarks.pages import fill_between, table, to_text
from benchmarks.serving.lighter import lighter_recogniser
from benchmarks.serving.load import Sent, saturate, send, sender
from trtforge import CtcDecoder, LogMel, OnnxRunner
from trtforge._files import write_text
from trtforge._progress import Stages
from trtforge.audio import ClipSet
from trtforge.runtime import BatchingRule, Bucket
from trtforge.serving import ServedModel, Transcription, Worker
from trtforge.serving.http_server import HttpServer
from trtforge.serving.metrics import METRICS, MetricSink, NullSink, PrometheusSink
from trtforge.serving.settings import PipelineSettings, ServiceSettings
from trtforge.serving.supervisor import Supervisor

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
CLIPS = ROOT / "calibration_sets/podcast_en_test"
RESULT = ROOT / "benchmarks/results/serving.json"
PAGE = ROOT / "docs/serving.md"
PATH = "/v1/transcribe"
_CLIENTS = 16
_STEADY_AFTER = 10.0


def bodies(count: int) -> list[bytes]:
    """Return the audio files of some clips of the bundled test set."""
    clips = list(ClipSet.load(CLIPS))
    return [(CLIPS / clip.path).read_bytes() for clip in clips[:: max(1, len(clips) // count)][:count]]


def settings_in(folder: Path, *, degrade: Mapping[str, float] | None = None) -> PipelineSettings:
    """Write the lighter network and return the settings of a pipeline with both."""
    lighter = folder / "lighter.onnx"
    onnx.save_model(lighter_recogniser(MODEL), str(lighter))
    return PipelineSettings(
        name="asr",
        model=str(MODEL),
        lighter=str(lighter),
        max_batch=4,
        max_frames=800,
        num_threads=1,
        degrade=dict(degrade or {}),
    )


@contextmanager
def serving(settings: PipelineSettings) -> Iterator[int]:
    """Run front and worker, and yield the port."""
    supervisor = Supervisor(ServiceSettings((settings,)).to_json(), (settings.name,))
    server = HttpServer(supervisor, ("127.0.0.1", 0))
    supervisor.start()
    server.start()
    try:
        supervisor.wait_ready(120.0)
        yield server.address[1]
    finally:
        supervisor.close()
        server.close()


class TierLog:
    """Asks for the tier four times a second, and keeps its changes: time and tier."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/status"
        self.changes: list[tuple[float, str]] = []
        self.tier = "full"
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> TierLog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(0.25):
            try:
                with urllib.request.urlopen(self._url, timeout=5) as answer:  # noqa: S310 - our own address
                    now = json.load(answer)["asr"]["tier"]
            except OSError:
                continue
            if now != self.tier:
                self.changes.append((time.monotonic(), now))
                self.tier = now


def capacity(settings: PipelineSettings, audio: Sequence[bytes], seconds: float) -> float:
    """Return the requests a second that one model can do, alone, with batches always full."""
    alone = replace(settings, lighter=None, deadline=60.0)
    with sender() as apart, serving(alone) as port:
        apart(saturate, port, PATH, audio, clients=_CLIENTS, seconds=seconds / 3)
        answered: float = apart(saturate, port, PATH, audio, clients=_CLIENTS, seconds=seconds)
    return answered


def overload(
    settings: PipelineSettings, audio: Sequence[bytes], *, rate: float, seconds: float, calm_rate: float,
    calm_seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Send at a rate, then at a calm one until the full model serves again; return counts and times."""
    with sender() as apart, serving(settings) as port, TierLog(port) as log:
        apart(send, port, PATH, audio, rate=calm_rate, seconds=min(5.0, calm_seconds))
        begin = time.monotonic()
        busy: list[Sent] = apart(send, port, PATH, audio, rate=rate, seconds=seconds)
        loaded_until = time.monotonic()
        calm: list[Sent] = []
        while log.tier != "full" and time.monotonic() < loaded_until + calm_seconds:
            calm += apart(send, port, PATH, audio, rate=calm_rate, seconds=2.0, seed=len(calm))
        calm += apart(send, port, PATH, audio, rate=calm_rate, seconds=2.0, seed=1)
        calm_seconds = time.monotonic() - loaded_until
    steady = [
        sent for sent in busy if sent.status == 200 and begin + _STEADY_AFTER <= sent.ended < begin + seconds
    ]
    back = [when - loaded_until for when, tier in log.changes if tier == "full" and when > loaded_until]
    return {
        "rate": round(rate, 2),
        "sent_per_second": round(len(busy) / max(1e-9, max(sent.at for sent in busy) - begin), 2),
        "seconds": seconds,
        "calm_rate": round(calm_rate, 2),
        "calm_seconds": round(calm_seconds, 1),
        "deadline_seconds": settings.deadline,
        "overload": _counts(busy),
        "calm": _counts(calm),
        "answered_per_second": round(len(steady) / max(1e-9, seconds - _STEADY_AFTER), 2),
        "tier_changes_under_load": [
            [round(when - begin, 1), tier] for when, tier in log.changes if begin <= when < loaded_until
        ],
        "tier_changes_afterwards": [
            [round(when - loaded_until, 1), tier] for when, tier in log.changes if when >= loaded_until
        ],
        "seconds_until_full_again": round(back[0], 1) if back else None,
    }


def _counts(sent: Sequence[Sent]) -> dict[str, Any]:
    answered = sorted(each.ended - each.at for each in sent if each.status == 200)
    refused = sorted(each.ended - each.at for each in sent if each.status == 503 and each.is_retryable)
    return {
        "sent": len(sent),
        "answered_full": sum(each.tier == "full" for each in sent),
        "answered_lighter": sum(each.tier == "lighter" for each in sent),
        "refused": len(refused),
        "missed_deadline": sum(each.status == 504 for each in sent),
        "lost": sum(each.status == 0 for each in sent),
        "other": sum(each.status not in (0, 200, 503, 504) for each in sent),
        "answer_seconds_p50": _quantile(answered, 0.5),
        "answer_seconds_p99": _quantile(answered, 0.99),
        "answer_seconds_max": _quantile(answered, 1.0),
        "refusal_seconds_p50": _quantile(refused, 0.5),
        "refusal_seconds_p99": _quantile(refused, 0.99),
    }


def _quantile(seconds: Sequence[float], share: float) -> float | None:
    """Return the least of sorted times that so many are not above; None of none."""
    return round(seconds[max(0, math.ceil(share * len(seconds)) - 1)], 4) if seconds else None


def metric_cost(audio: Sequence[bytes], rounds: int) -> dict[str, Any]:
    """Measure what metrics add to a request: by two workers in turns, and by their calls alone."""
    seconds: dict[str, list[float]] = {"none": [], "prometheus": []}
    sinks: dict[str, MetricSink] = {"none": NullSink(), "prometheus": PrometheusSink()}
    task = Transcription(LogMel.for_model(MODEL), CtcDecoder.for_model(MODEL))
    rule = BatchingRule((Bucket(800, 1),), max_wait=0.0)
    workers = {
        name: Worker(
            "asr", ServedModel("asr_en", OnnxRunner(MODEL, num_threads=1), task, rule, sink=sink), sink=sink
        )
        for name, sink in sinks.items()
    }
    for worker in workers.values():
        worker.start()
    for index in range(rounds):
        for name, worker in workers.items():
            begin = time.perf_counter()
            worker.submit(audio[index % len(audio)], deadline=60.0).result()
            seconds[name].append(time.perf_counter() - begin)
    for worker in workers.values():
        worker.close()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    calls = _seconds_of_calls(sinks["prometheus"])
    return {
        "requests": rounds,
        "median_seconds_without": round(median["none"], 6),
        "median_seconds_with": round(median["prometheus"], 6),
        "increase_percent": round(100 * (median["prometheus"] / median["none"] - 1), 3),
        "microseconds_of_calls": round(1e6 * calls, 2),
        "calls_percent_of_median": round(100 * calls / median["none"], 4),
        "num_metrics": len(METRICS),
    }


def _seconds_of_calls(sink: MetricSink, repeats: int = 20_000) -> float:
    """Return the time of all calls that a request of one row makes."""
    begin = time.perf_counter()
    for _ in range(repeats):
        sink.observe("queue_wait_seconds", "asr", value=0.001)
        sink.observe("batch_size", "asr_en", value=1)
        sink.observe("infer_duration_seconds", "asr_en", "0", value=0.05)
        sink.count("requests_total", "asr", "full", "ok")
        sink.observe("request_duration_seconds", "asr", "full", value=0.1)
    return (time.perf_counter() - begin) / repeats


def summary(result: Mapping[str, Any]) -> str:
    """Write a result as the page's table."""
    busy, calm, cost = result["overload"], result["calm"], result["metrics"]
    rows = [
        ("full model alone, requests a second", result["capacity_per_second"]["full"]),
        ("lighter model alone, requests a second", result["capacity_per_second"]["lighter"]),
        ("to be sent a second under load", result["rate"]),
        ("sent a second under load", result["sent_per_second"]),
        ("answered a second, after the first ten seconds", result["answered_per_second"]),
        ("share of the lighter model's capacity", f"{100 * result['share_of_lighter_capacity']:.1f} %"),
        ("sent under load", busy["sent"]),
        ("answered by the full model, by the lighter one", _both(busy)),
        ("refused as retryable", busy["refused"]),
        ("seconds to a refusal, median and 99th percentile", _times(busy)),
        ("taken and not answered by the deadline", busy["missed_deadline"]),
        ("lost", busy["lost"] + busy["other"]),
        ("longest time to an answer, in seconds", busy["answer_seconds_max"]),
        ("changes of the tier under load", len(result["tier_changes_under_load"])),
        ("seconds until the full model served again", result["seconds_until_full_again"]),
        ("afterwards: answered by the full model, by the lighter one", _both(calm)),
        ("metrics: calls of a request, in microseconds", cost["microseconds_of_calls"]),
        ("metrics: share of the median time of a request", f"{cost['calls_percent_of_median']:.3f} %"),
        ("metrics: median with them against without, in turns", f"{cost['increase_percent']:+.2f} %"),
    ]
    run = result["run"]
    return table(("what", "measured"), rows, right=1) + (
        f"\n\n{result['seconds']:g} seconds of load and {result['calm_seconds']:g} of calm, deadline "
        f"{result['deadline_seconds']:g} s, by `{run['command']}` on {run['machine']['processor']}, "
        f"{run['machine']['num_cpus']} cores, {run['date']}; the load comes from another process on them."
    )


def _both(counts: Mapping[str, Any]) -> str:
    return f"{counts['answered_full']}, {counts['answered_lighter']}"


def _times(counts: Mapping[str, Any]) -> str:
    return f"{counts['refusal_seconds_p50']}, {counts['refusal_seconds_p99']}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the JSON."""
    from rich.console import Console

    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_serving")
    parser.add_argument("--seconds", type=float, default=90.0, help="of overload (default: 90)")
    parser.add_argument("--calm-seconds", type=float, default=180.0, help="at most (default: 180)")
    parser.add_argument("--capacity-seconds", type=float, default=12.0, help="to measure each model")
    parser.add_argument("--factor", type=float, default=3.0, help="times the lighter model's capacity")
    parser.add_argument("--rounds", type=int, default=100, help="requests to measure metrics by")
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    args = parser.parse_args(words)
    stages = Stages(Console())
    audio = bodies(24)
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        with stages.stage("capacity") as stage:
            full = capacity(settings, audio, args.capacity_seconds)
            lighter = capacity(replace(settings, model=str(settings.lighter)), audio, args.capacity_seconds)
            stage.note(f"{full:.1f} and {lighter:.1f} requests a second")
        with stages.stage("overload"):
            loaded = overload(
                settings,
                audio,
                rate=args.factor * lighter,
                seconds=args.seconds,
                calm_rate=0.1 * full,
                calm_seconds=args.calm_seconds,
            )
    with stages.stage("metrics"):
        cost = metric_cost(audio, args.rounds)
    result = {
        "format": "trtforge.benchmark.serving/1",
        "capacity_per_second": {"full": round(full, 2), "lighter": round(lighter, 2)},
        **loaded,
        "share_of_lighter_capacity": round(loaded["answered_per_second"] / lighter, 3),
        "metrics": cost,
        "run": describe_run("benchmarks.bench_serving", words),
    }
    write_text(args.output, to_text(result))
    if args.output == RESULT:
        write_text(PAGE, fill_between(PAGE.read_text(encoding="utf-8"), summary(result)))
    print(to_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
