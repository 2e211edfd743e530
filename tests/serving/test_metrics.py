import warnings

import pytest

from trtforge.errors import ConfigError
from trtforge.serving.metrics import METRICS, MetricSink, NullSink, OpenTelemetrySink, PrometheusSink

# name, kind, labels and first and last bucket, as the operating rules have them
TABLE = [
    ("requests_total", "counter", "pipeline tier outcome", None),
    ("request_duration_seconds", "histogram", "pipeline tier", (0.005, 20.48, 13)),
    ("queue_depth", "gauge", "pipeline priority", None),
    ("queue_oldest_age_seconds", "gauge", "pipeline priority", None),
    ("queue_wait_seconds", "histogram", "pipeline", (0.001, 8.192, 14)),
    ("batch_size", "histogram", "engine", (1, 64, 7)),
    ("infer_duration_seconds", "histogram", "engine profile", (0.0005, 4.096, 14)),
    ("layer_duration_seconds", "histogram", "engine layer_group", (1e-5, 0.08192, 14)),
    ("gpu_memory_used_bytes", "gauge", "gpu", None),
    ("gpu_memory_total_bytes", "gauge", "gpu", None),
    ("engine_memory_bytes", "gauge", "engine kind", None),
    ("degrade_tier", "gauge", "pipeline", None),
    ("degrade_transitions_total", "counter", "pipeline to reason", None),
    ("trt_errors_total", "counter", "code", None),
    ("nonfinite_outputs_total", "counter", "engine output", None),
    ("audio_rejected_total", "counter", "reason", None),
    ("engine_cache_requests_total", "counter", "result", None),
    ("build_duration_seconds", "histogram", "result", (1, 4096, 13)),
    ("ready", "gauge", "pipeline", None),
    ("info", "info", "trt cuda sm driver opset", None),
]


def use_every_metric(sink: MetricSink) -> None:
    for name, metric in METRICS.items():
        values = [f"a_{label}" for label in metric.labels]
        if metric.kind == "counter":
            sink.count(name, *values)
            sink.count(name, *values, amount=2)
        elif metric.kind == "histogram":
            sink.observe(name, *values, value=0.003)
        elif metric.kind == "gauge":
            sink.set(name, *values, to=7.0)
            sink.set(name, *values, to=5.0)
        else:
            sink.info(name, *values)


def test_the_table_is_the_agreed_one():
    found = [
        (
            metric.name,
            metric.kind,
            " ".join(metric.labels),
            (metric.buckets[0], metric.buckets[-1], len(metric.buckets)) if metric.buckets else None,
        )
        for metric in METRICS.values()
    ]
    assert found == TABLE
    assert METRICS["batch_size"].buckets == (1, 2, 4, 8, 16, 32, 64)


def test_a_page_for_prometheus_has_every_metric_with_its_labels():
    sink = PrometheusSink()
    use_every_metric(sink)
    page = sink.page().decode()
    lines = page.splitlines()
    assert 'trtforge_requests_total{outcome="a_outcome",pipeline="a_pipeline",tier="a_tier"} 3.0' in lines
    assert 'trtforge_queue_depth{pipeline="a_pipeline",priority="a_priority"} 5.0' in lines
    wait = 'trtforge_queue_wait_seconds_bucket{le="%s",pipeline="a_pipeline"} %s'
    assert wait % ("0.002", "0.0") in lines
    assert wait % ("0.004", "1.0") in lines
    assert 'trtforge_info{cuda="a_cuda",driver="a_driver",opset="a_opset",sm="a_sm",trt="a_trt"} 1.0' in lines
    assert "_created" not in page
    shown = [line for line in lines if not line.startswith("#")]
    assert len(shown) == sink.num_series


def test_metrics_are_named_before_they_have_values():
    page = PrometheusSink().page().decode()
    for metric in METRICS.values():
        assert f"# TYPE {metric.full_name}" in page


def test_a_sink_refuses_what_the_table_does_not_have():
    sink = NullSink()
    with pytest.raises(ConfigError, match="there is no counter 'nothing'"):
        sink.count("nothing")
    with pytest.raises(ConfigError, match="there is no gauge 'requests_total'"):
        sink.set("requests_total", to=1)
    with pytest.raises(ConfigError, match=r"ready has labels \['pipeline'\], got \['a', 'b'\]"):
        sink.set("ready", "a", "b", to=1)


def test_series_are_bounded_and_the_rest_is_dropped_with_one_warning():
    sink = PrometheusSink(max_series=50)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index in range(100):
            sink.observe("request_duration_seconds", f"p{index}", "full", value=0.1)
    assert [str(each.message) for each in caught] == [
        "trtforge_request_duration_seconds['p3', 'full'] is not reported: there are 48 time series already, "
        "of 50 at most"
    ]
    assert sink.num_series == 48
    assert sum(not line.startswith("#") for line in sink.page().decode().splitlines()) == 48
    sink.set("ready", "p", to=1)  # what fits is still reported
    assert sink.num_series == 49


def test_four_pipelines_of_two_engines_stay_below_two_thousand_series():
    sink = PrometheusSink()
    for pipeline in "abcd":
        for tier in ("full", "lighter"):
            for outcome in ("ok", "invalid", "shed", "timeout", "oom", "device_lost", "nonfinite", "error"):
                sink.count("requests_total", pipeline, tier, outcome)
            sink.observe("request_duration_seconds", pipeline, tier, value=1)
            engine = pipeline + tier
            sink.observe("batch_size", engine, value=1)
            for profile in "01":
                sink.observe("infer_duration_seconds", engine, profile, value=1)
            for group in range(7):
                sink.observe("layer_duration_seconds", engine, str(group), value=1)
        for priority in ("interactive", "standard", "batch"):
            sink.set("queue_depth", pipeline, priority, to=1)
        sink.observe("queue_wait_seconds", pipeline, value=1)
    assert sink.num_series < 2000


def test_opentelemetry_gets_the_same_names_labels_and_buckets():
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    from opentelemetry.sdk.metrics import MeterProvider

    reader = export.InMemoryMetricReader()
    use_every_metric(OpenTelemetrySink(MeterProvider([reader])))
    [scope] = reader.get_metrics_data().resource_metrics[0].scope_metrics
    found = {metric.name: metric.data.data_points[0] for metric in scope.metrics}
    assert set(found) == {metric.full_name for metric in METRICS.values()}
    for metric in METRICS.values():
        point = found[metric.full_name]
        assert point.attributes == {label: f"a_{label}" for label in metric.labels}
        if metric.kind == "histogram":
            assert tuple(point.explicit_bounds) == metric.buckets
            assert (point.count, point.sum) == (1, 0.003)
        else:
            assert point.value == {"counter": 3, "gauge": 5, "info": 1}[metric.kind]


def test_ray_gets_the_same_names_labels_and_buckets(monkeypatch):
    metrics = pytest.importorskip("ray.util.metrics")
    from trtforge.serving.metrics import RaySink

    seen = []
    monkeypatch.setattr(metrics.Counter, "inc", lambda self, value, tags: seen.append((self, value, tags)))
    for kind, method in ((metrics.Gauge, "set"), (metrics.Histogram, "observe")):
        monkeypatch.setattr(kind, method, lambda self, value, tags: seen.append((self, value, tags)))
    use_every_metric(RaySink())
    last = {instrument.info["name"]: (instrument, value, tags) for instrument, value, tags in seen}
    for metric in METRICS.values():
        instrument, value, tags = last[metric.full_name]
        assert tuple(instrument.info["tag_keys"]) == metric.labels
        assert tags == {label: f"a_{label}" for label in metric.labels}
        assert value == {"counter": 2, "gauge": 5.0, "info": 1.0, "histogram": 0.003}[metric.kind]
        if metric.kind == "histogram":
            assert tuple(instrument.boundaries) == metric.buckets
