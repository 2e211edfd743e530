"""Metrics for Ray's own exporter."""

from __future__ import annotations

from typing import Any

from trtforge._optional import require
from trtforge.serving.metrics.sink import MAX_SERIES, MetricSink
from trtforge.serving.metrics.table import METRICS, Metric


class RaySink(MetricSink):
    """Gives metrics to Ray, whose exporter puts ``ray_`` before their names and adds labels of its own.

    To be made inside a task, an actor or a deployment: Ray gathers what its own processes report.

    Parameters
    ----------
    max_series : as for `MetricSink`.

    Raises
    ------
    MissingExtraError : Ray is not installed.
    """

    def __init__(self, *, max_series: int = MAX_SERIES) -> None:
        super().__init__(max_series=max_series)
        metrics = require("ray.util.metrics", "report metrics to Ray")
        self._instruments = {name: _instrument(metrics, metric) for name, metric in METRICS.items()}

    def _bind(self, metric: Metric, values: tuple[str, ...]) -> Any:
        return self._instruments[metric.name], dict(zip(metric.labels, values, strict=True))

    def _count(self, bound: Any, amount: float) -> None:
        bound[0].inc(amount, tags=bound[1])

    def _set(self, bound: Any, value: float) -> None:
        bound[0].set(value, tags=bound[1])

    def _observe(self, bound: Any, value: float) -> None:
        bound[0].observe(value, tags=bound[1])


def _instrument(metrics: Any, metric: Metric) -> Any:
    given = {"description": metric.meaning, "tag_keys": metric.labels}
    if metric.kind == "counter":
        return metrics.Counter(metric.full_name, **given)
    if metric.kind == "histogram":
        return metrics.Histogram(metric.full_name, boundaries=list(metric.buckets), **given)
    return metrics.Gauge(metric.full_name, **given)
