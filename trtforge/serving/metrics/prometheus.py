"""Metrics for Prometheus to scrape, through prometheus_client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from trtforge._optional import require
from trtforge.serving.metrics.sink import MAX_SERIES, MetricSink
from trtforge.serving.metrics.table import METRICS, Metric

_PURPOSE = "report metrics to Prometheus"


class PrometheusSink(MetricSink):
    """Keeps metrics in a registry of prometheus_client.

    Every metric of the table is registered at once, so that a page shows all of them by name before the first
    value comes. Where ``PROMETHEUS_MULTIPROC_DIR`` is set, pages add up the processes that share it.

    Parameters
    ----------
    registry : where to register; one of its own by default.
    max_series : as for `MetricSink`.

    Raises
    ------
    MissingExtraError : prometheus_client is not installed.
    """

    def __init__(self, registry: Any = None, *, max_series: int = MAX_SERIES) -> None:
        super().__init__(max_series=max_series)
        self._client = require("prometheus_client", _PURPOSE)
        self.registry = self._client.CollectorRegistry() if registry is None else registry
        self._families = {name: self._register(metric) for name, metric in METRICS.items()}

    @property
    def content_type(self) -> str:
        """The media type of `page`."""
        return str(self._client.CONTENT_TYPE_LATEST)

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = self._client.CollectorRegistry()
            require("prometheus_client.multiprocess", _PURPOSE).MultiProcessCollector(registry)
        return bytes(self._client.generate_latest(_WithoutCreated(registry)))

    def _register(self, metric: Metric) -> Any:
        client = self._client
        given = (metric.full_name, metric.meaning, metric.labels)
        if metric.kind == "counter":
            return client.Counter(*given, registry=self.registry)
        if metric.kind == "histogram":
            return client.Histogram(*given, registry=self.registry, buckets=metric.buckets)
        return client.Gauge(*given, registry=self.registry, multiprocess_mode=metric.across_processes)

    def _bind(self, metric: Metric, values: tuple[str, ...]) -> Any:
        return self._families[metric.name].labels(*values)

    def _count(self, bound: Any, amount: float) -> None:
        bound.inc(amount)

    def _set(self, bound: Any, value: float) -> None:
        bound.set(value)

    def _observe(self, bound: Any, value: float) -> None:
        bound.observe(value)


class _WithoutCreated:
    """A registry less the times at which series began, which would be as many series again."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Any]:
        for family in self._registry.collect():
            family.samples = [each for each in family.samples if not each.name.endswith("_created")]
            yield family
