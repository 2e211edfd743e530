"""Metrics for an OpenTelemetry meter."""

from __future__ import annotations

from typing import Any

from trtforge._optional import require
from trtforge.serving.metrics.sink import MAX_SERIES, MetricSink
from trtforge.serving.metrics.table import METRICS, Metric


class OpenTelemetrySink(MetricSink):
    """Gives metrics to OpenTelemetry, under the names of the table.

    Which exporter they go to is the meter provider's matter. Buckets are advised to the provider; a view may
    overrule them. Units are part of the names, so instruments carry none.

    Parameters
    ----------
    meter_provider : whose meter to use; the process's own by default.
    max_series : as for `MetricSink`.

    Raises
    ------
    MissingExtraError : the OpenTelemetry API is not installed.
    """

    def __init__(self, meter_provider: Any = None, *, max_series: int = MAX_SERIES) -> None:
        super().__init__(max_series=max_series)
        api = require("opentelemetry.metrics", "report metrics to OpenTelemetry")
        meter = api.get_meter("trtforge", meter_provider=meter_provider)
        self._instruments = {name: _instrument(meter, metric) for name, metric in METRICS.items()}

    def _bind(self, metric: Metric, values: tuple[str, ...]) -> Any:
        return self._instruments[metric.name], dict(zip(metric.labels, values, strict=True))

    def _count(self, bound: Any, amount: float) -> None:
        bound[0].add(amount, bound[1])

    def _set(self, bound: Any, value: float) -> None:
        bound[0].set(value, bound[1])

    def _observe(self, bound: Any, value: float) -> None:
        bound[0].record(value, bound[1])


def _instrument(meter: Any, metric: Metric) -> Any:
    if metric.kind == "counter":
        return meter.create_counter(metric.full_name, description=metric.meaning)
    if metric.kind == "histogram":
        return meter.create_histogram(
            metric.full_name,
            description=metric.meaning,
            explicit_bucket_boundaries_advisory=list(metric.buckets),
        )
    return meter.create_gauge(metric.full_name, description=metric.meaning)
