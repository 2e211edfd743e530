"""Every metric that trtforge reports: names, kinds, labels and buckets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PREFIX = "trtforge_"


@dataclass(frozen=True)
class Metric:
    """One metric.

    Parameters
    ----------
    name : without the prefix.
    kind : ``counter``, ``gauge``, ``histogram`` or ``info``, a gauge that is 1 and whose labels tell.
    labels : names of its labels, in order.
    meaning : one sentence, shown beside it.
    buckets : upper bounds of a histogram's buckets, ascending.
    across_processes : how several processes' values of a gauge become one.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()
    across_processes: Literal["livesum", "livemax", "livemin"] = "livemax"

    @property
    def full_name(self) -> str:
        """The name that Prometheus sees."""
        return PREFIX + self.name

    @property
    def series_each(self) -> int:
        """Time series that one set of label values makes."""
        return len(self.buckets) + 3 if self.kind == "histogram" else 1


def _doubling(first: float, last_power: int) -> tuple[float, ...]:
    return tuple(first * 2**power for power in range(last_power + 1))


_ALL = (
    Metric(
        "requests_total",
        "counter",
        ("pipeline", "tier", "outcome"),
        "Requests by how they ended: ok, invalid, shed, timeout, oom, device_lost, nonfinite, error.",
    ),
    Metric(
        "request_duration_seconds",
        "histogram",
        ("pipeline", "tier"),
        "From admission to answer, of requests that were answered.",
        _doubling(0.005, 12),
    ),
    Metric("queue_depth", "gauge", ("pipeline", "priority"), "Requests that wait.", (), "livesum"),
    Metric(
        "queue_oldest_age_seconds",
        "gauge",
        ("pipeline", "priority"),
        "How long the oldest of the waiting requests has waited.",
    ),
    Metric(
        "queue_wait_seconds",
        "histogram",
        ("pipeline",),
        "From admission until work on a request began.",
        _doubling(0.001, 13),
    ),
    Metric("batch_size", "histogram", ("engine",), "Rows of a batch.", _doubling(1, 6)),
    Metric(
        "infer_duration_seconds",
        "histogram",
        ("engine", "profile"),
        "Inference: between CUDA events on a GPU, wall-clock time on a CPU.",
        _doubling(0.0005, 13),
    ),
    Metric(
        "layer_duration_seconds",
        "histogram",
        ("engine", "layer_group"),
        "Layers of like name in one inference, added up; sampled on a context of its own.",
        _doubling(1e-5, 13),
    ),
    Metric("gpu_memory_used_bytes", "gauge", ("gpu",), "GPU memory that any process uses."),
    Metric("gpu_memory_total_bytes", "gauge", ("gpu",), "GPU memory that there is."),
    Metric(
        "engine_memory_bytes",
        "gauge",
        ("engine", "kind"),
        "GPU memory of an engine: weights, context (scratch of its contexts) or io (inputs and outputs).",
        (),
        "livesum",
    ),
    Metric(
        "degrade_tier",
        "gauge",
        ("pipeline",),
        "0: the full model, 1: the lighter one, 2: the lighter one with requests turned away early.",
    ),
    Metric("degrade_transitions_total", "counter", ("pipeline", "to", "reason"), "Changes of the tier."),
    Metric("trt_errors_total", "counter", ("code",), "Errors of TensorRT, by the name of their code."),
    Metric(
        "nonfinite_outputs_total",
        "counter",
        ("engine", "output"),
        "Requests whose output held NaN or infinity.",
    ),
    Metric("audio_rejected_total", "counter", ("reason",), "Audio that was refused."),
    Metric(
        "engine_cache_requests_total",
        "counter",
        ("result",),
        "Engines that were asked for: hit, miss, corrupt or incompatible.",
    ),
    Metric(
        "build_duration_seconds",
        "histogram",
        ("result",),
        "Builds of engines: ok or failed.",
        _doubling(1, 12),
    ),
    Metric("ready", "gauge", ("pipeline",), "1 where requests are taken, else 0.", (), "livemin"),
    Metric(
        "info",
        "info",
        ("trt", "cuda", "sm", "driver", "opset"),
        "Versions of the library, CUDA, the GPU, its driver and the network.",
    ),
)

# Counted by the process in front, as no other outlives what it counts.
PROCESS_ENDS = Metric(
    "process_ends_total",
    "counter",
    ("reason",),
    "Processes with models that ended: device_lost, corrupt_engine, settings, load, killed, hung, failed.",
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
OUTCOMES = ("ok", "invalid", "shed", "timeout", "oom", "device_lost", "nonfinite", "error")
