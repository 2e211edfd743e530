"""Metrics: one table of them, one sink, and adapters for Prometheus, OpenTelemetry and Ray."""

from trtforge.serving.metrics.opentelemetry import OpenTelemetrySink
from trtforge.serving.metrics.prometheus import PrometheusSink
from trtforge.serving.metrics.ray import RaySink
from trtforge.serving.metrics.sink import MetricSink, NullSink
from trtforge.serving.metrics.table import METRICS, OUTCOMES, PREFIX, PROCESS_ENDS, Metric

__all__ = [
    "METRICS",
    "OUTCOMES",
    "PREFIX",
    "PROCESS_ENDS",
    "Metric",
    "MetricSink",
    "NullSink",
    "OpenTelemetrySink",
    "PrometheusSink",
    "RaySink",
]
