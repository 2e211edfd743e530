"""The panels of the dashboard: what each asks Prometheus for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Query:
    """An expression of PromQL, and how its series are called; ``$pipeline`` is chosen in the dashboard."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel.

    Parameters
    ----------
    title : what is shown.
    kind : Grafana's name of the panel.
    queries : what to ask.
    unit : Grafana's name of the unit.
    meaning : what to make of it.
    is_stacked : whether series add up.
    """

    title: str
    kind: Literal["timeseries", "state-timeline", "heatmap", "table"]
    queries: tuple[Query, ...]
    unit: str = "short"
    meaning: str = ""
    is_stacked: bool = False


def _of(name: str, *labels: str) -> str:
    chosen = ",".join((*labels, 'pipeline=~"$pipeline"'))
    return f"trtforge_{name}{{{chosen}}}"


def _quantile(share: float) -> Query:
    buckets = _of("request_duration_seconds_bucket")
    return Query(
        f"histogram_quantile({share}, sum by (tier, le) (rate({buckets}{_RATE})))",
        f"p{share * 100:.0f} {{{{tier}}}}",
    )


PANELS = (
    Panel(
        "Ready and tier",
        "state-timeline",
        (
            Query(_of("ready"), "ready {{pipeline}}"),
            Query(_of("degrade_tier"), "tier {{pipeline}}"),
        ),
        meaning="Tier 0 is the full model, 1 the lighter one, 2 the lighter one with early refusals.",
    ),
    Panel(
        "Requests by outcome",
        "timeseries",
        (Query(f"sum by (outcome) (rate({_of('requests_total')}{_RATE}))", "{{outcome}}"),),
        "reqps",
        is_stacked=True,
    ),
    Panel(
        "Time to answer",
        "timeseries",
        (_quantile(0.5), _quantile(0.95), _quantile(0.99)),
        "s",
        "From admission to answer, by the tier whose model made it.",
    ),
    Panel("Waiting requests", "timeseries", (Query(_of("queue_depth"), "{{priority}} {{pipeline}}"),)),
    Panel(
        "Age of the oldest waiting request",
        "timeseries",
        (Query(_of("queue_oldest_age_seconds"), "{{priority}} {{pipeline}}"),),
        "s",
    ),
    Panel(
        "Time in the queue",
        "heatmap",
        (Query(f"sum by (le) (increase({_of('queue_wait_seconds_bucket')}{_RATE}))", "{{le}}"),),
        "s",
    ),
    Panel(
        "Inference",
        "heatmap",
        (Query(f"sum by (le) (increase(trtforge_infer_duration_seconds_bucket{_RATE}))", "{{le}}"),),
        "s",
        "Between CUDA events on a GPU.",
    ),
    Panel(
        "Inference by engine and profile",
        "timeseries",
        (
            Query(
                "histogram_quantile(0.5, sum by (engine, profile, le) "
                f"(rate(trtforge_infer_duration_seconds_bucket{_RATE})))",
                "{{engine}} profile {{profile}}",
            ),
        ),
        "s",
    ),
    Panel(
        "Layers that take longest",
        "timeseries",
        (
            Query(
                "topk(8, sum by (engine, layer_group) (rate(trtforge_layer_duration_seconds_sum[1h])) / "
                "sum by (engine, layer_group) (rate(trtforge_layer_duration_seconds_count[1h])))",
                "{{engine}} {{layer_group}}",
            ),
        ),
        "s",
        "Mean in one inference, of sampled ones; nothing overlaps while layers are timed.",
    ),
    Panel(
        "GPU memory in use",
        "timeseries",
        (
            Query("trtforge_gpu_memory_used_bytes / trtforge_gpu_memory_total_bytes", "GPU {{gpu}}"),
            Query("DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE)", "DCGM {{gpu}}"),
        ),
        "percentunit",
    ),
    Panel(
        "Memory of engines",
        "timeseries",
        (Query("trtforge_engine_memory_bytes", "{{engine}} {{kind}}"),),
        "bytes",
        is_stacked=True,
    ),
    Panel(
        "GPU (DCGM)",
        "timeseries",
        (
            Query("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "tensor pipe {{gpu}}"),
            Query("DCGM_FI_DEV_POWER_USAGE / 1000", "power, kW {{gpu}}"),
            Query("DCGM_FI_DEV_XID_ERRORS", "XID {{gpu}}"),
        ),
        meaning="Needs NVIDIA's dcgm-exporter.",
    ),
    Panel(
        "Rows of a batch",
        "timeseries",
        (
            Query(
                f"sum by (engine) (rate(trtforge_batch_size_sum{_RATE})) / "
                f"sum by (engine) (rate(trtforge_batch_size_count{_RATE}))",
                "{{engine}}",
            ),
        ),
        meaning="The mean.",
    ),
    Panel(
        "Engines asked for",
        "timeseries",
        (Query("sum by (result) (increase(trtforge_engine_cache_requests_total[1h]))", "{{result}}"),),
    ),
    Panel(
        "Builds",
        "timeseries",
        (
            Query(
                "sum by (result) (rate(trtforge_build_duration_seconds_sum[1h])) / "
                "sum by (result) (rate(trtforge_build_duration_seconds_count[1h]))",
                "{{result}}",
            ),
        ),
        "s",
        "The mean time.",
    ),
    Panel(
        "Errors of TensorRT and CUDA, and processes that ended",
        "timeseries",
        (
            Query(f"sum by (code) (increase(trtforge_trt_errors_total{_RATE}))", "{{code}}"),
            Query(f"sum by (reason) (increase(trtforge_process_ends_total{_RATE}))", "ended: {{reason}}"),
        ),
    ),
    Panel(
        "Rejected audio and outputs that are not finite",
        "timeseries",
        (
            Query(f"sum by (reason) (increase(trtforge_audio_rejected_total{_RATE}))", "{{reason}}"),
            Query(
                f"sum by (engine, output) (increase(trtforge_nonfinite_outputs_total{_RATE}))",
                "not finite: {{engine}} {{output}}",
            ),
        ),
    ),
    Panel(
        "Changes of the tier",
        "timeseries",
        (
            Query(
                f"sum by (to, reason) (increase({_of('degrade_transitions_total')}{_RATE}))",
                "to {{to}}: {{reason}}",
            ),
        ),
    ),
    Panel("Versions", "table", (Query("trtforge_info"),)),
    Panel(
        "Queues of Ray and Triton",
        "timeseries",
        (
            Query("ray_serve_deployment_queued_queries", "Ray {{deployment}}"),
            Query("nv_inference_pending_request_count", "Triton {{model}}"),
        ),
        meaning="Where either serves too.",
    ),
)
