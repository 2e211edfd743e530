"""A real Prometheus scrapes a running worker: every metric is there, and moves as it should."""

import http.client
import time

import numpy as np
import pytest

from tests.bundled import MODEL, TEST_SET, some_clips
from tests.runtime.fake_gpu import ENGINE, install
from tests.serving.prometheus_server import prometheus
from tests.serving.serving_models import doubler, lighter_recogniser, recogniser
from trtforge.engine import EngineStore
from trtforge.errors import DeviceLostError, OutOfMemoryError, RefusedError
from trtforge.nvidia.device_memory import DeviceMemory
from trtforge.runtime import Session
from trtforge.serving import DegradeRule, Priority, Tier, Worker, watch_store
from trtforge.serving.gpu_watch import GpuWatch
from trtforge.serving.http_server import HttpServer
from trtforge.serving.layer_sampling import LayerSampler
from trtforge.serving.metrics import METRICS, PROCESS_ENDS, PrometheusSink
from trtforge.serving.monitoring import PANELS, export
from trtforge.serving.service import Service

FEED = {"x": np.ones((1, 3), np.float32), "n": np.ones(1, np.int32)}


class OneGpu:
    """What NVML says where there is a GPU."""

    def read(self):
        return {0: DeviceMemory(3 * 2**30, 4 * 2**30)}


def post(port, path, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_a_real_prometheus_sees_every_metric_move(tmp_path, monkeypatch):
    export(tmp_path, deadline=5.0)
    sink = PrometheusSink()
    clip = next(iter(some_clips(TEST_SET, 1)))
    audio = (TEST_SET / clip.path).read_bytes()

    speech = Worker(
        "asr",
        recogniser("asr_en", str(MODEL), sink=sink, max_rows=1),
        recogniser("asr_small", lighter_recogniser(), sink=sink, max_rows=1),
        deadline=20,
        sink=sink,
        memory_share=lambda: GpuWatch(sink, OneGpu()).share(0),
    )
    slow = doubler("slow", before=lambda rows: time.sleep(0.05), max_rows=1, sink=sink)
    rule = DegradeRule(tick_seconds=0.05, dwell_seconds=0.0, hold_seconds=60.0)
    busy = Worker("busy", slow, doubler("fast", max_rows=1, sink=sink), deadline=0.5, rule=rule, sink=sink)
    with speech, busy:
        server = HttpServer(Service([speech, busy], sink), ("127.0.0.1", 0))
        server.start()
        port = server.address[1]
        with prometheus(tmp_path, port) as asked:
            asked.wait_for('trtforge_ready{pipeline="asr"}', 1)
            asked.wait_for('trtforge_degrade_tier{pipeline="busy"}', 0)

            assert post(port, "/v1/asr/transcribe", audio) == 200
            assert post(port, "/v1/asr/transcribe", b"") == 400
            assert post(port, "/v1/asr/transcribe", b"no audio") == 400
            of_asr = 'pipeline="asr",tier="full"'
            asked.wait_for(f'trtforge_requests_total{{{of_asr},outcome="ok"}}', 1)
            asked.wait_for(f'trtforge_requests_total{{{of_asr},outcome="invalid"}}', 2)
            asked.wait_for('trtforge_audio_rejected_total{reason="empty"}', 1)
            asked.wait_for('trtforge_audio_rejected_total{reason="unusable"}', 1)
            asked.wait_for(f"trtforge_request_duration_seconds_count{{{of_asr}}}", 1)
            asked.wait_for('trtforge_queue_wait_seconds_count{pipeline="asr"}', 2)
            asked.wait_for('trtforge_batch_size_sum{engine="asr_en"}', 1)
            asked.wait_for('trtforge_infer_duration_seconds_count{engine="asr_en",profile="0"}', 1)
            took = asked.value(f"trtforge_request_duration_seconds_sum{{{of_asr}}}")
            assert 0 < asked.value('trtforge_infer_duration_seconds_sum{engine="asr_en"}') < took
            asked.wait_for('trtforge_gpu_memory_used_bytes{gpu="0"}', 3 * 2**30)
            asked.wait_for('trtforge_gpu_memory_total_bytes{gpu="0"}', 4 * 2**30)

            overload(busy)
            asked.wait_for('trtforge_degrade_tier{pipeline="busy"} >= bool 1', 1)
            asked.wait_for(
                'trtforge_degrade_transitions_total{pipeline="busy",to="lighter",reason="load"}', 1
            )
            asked.wait_for('sum(trtforge_requests_total{pipeline="busy",outcome="shed"}) > bool 0', 1)
            held = [busy.submit({"x": FEED["x"]}, priority=Priority.BATCH) for _ in range(3)]
            asked.wait_for('trtforge_queue_depth{pipeline="busy",priority="batch"}', 3)
            asked.wait_for(
                'trtforge_queue_oldest_age_seconds{pipeline="busy",priority="batch"} > bool 0.5', 1
            )
            del held

            fail_in_other_ways(sink)
            asked.wait_for('trtforge_requests_total{pipeline="ill",tier="full",outcome="oom"}', 1)
            asked.wait_for('trtforge_requests_total{pipeline="ill",tier="full",outcome="nonfinite"}', 1)
            asked.wait_for('trtforge_requests_total{pipeline="ill",tier="full",outcome="device_lost"}', 1)
            asked.wait_for('trtforge_nonfinite_outputs_total{engine="ill",output="y"}', 1)
            asked.wait_for('trtforge_trt_errors_total{code="failed_allocation"}', 1)
            asked.wait_for('trtforge_ready{pipeline="ill"}', 0)

            use_a_store(sink, tmp_path / "store")
            asked.wait_for('trtforge_engine_cache_requests_total{result="miss"}', 1)
            asked.wait_for('trtforge_engine_cache_requests_total{result="hit"}', 1)
            asked.wait_for('trtforge_build_duration_seconds_count{result="ok"}', 1)
            sink.info("info", "tensorrt 8.6.0", "13.0", "9.0", "580", "17")
            asked.wait_for('trtforge_info{trt="tensorrt 8.6.0",sm="9.0"}', 1)

            run_on_a_played_gpu(sink, monkeypatch)
            asked.wait_for('trtforge_layer_duration_seconds_count{engine="fake",layer_group="twice"}', 1)
            asked.wait_for('trtforge_engine_memory_bytes{engine="fake",kind="context"} > bool 0', 1)

            check_all(asked)
        server.close()


def overload(worker):
    """Send to a worker until its tier changes."""
    end = time.monotonic() + 20
    while worker.state.tier is Tier.FULL:
        assert time.monotonic() < end
        try:
            worker.submit({"x": np.ones((2, 5), np.float32)})
        except RefusedError:
            time.sleep(0.002)


def fail_in_other_ways(sink):
    """Run out of memory, give NaN, and lose the GPU."""
    errors = [OutOfMemoryError("no room. Error Code 5: Failed Allocation"), None, DeviceLostError("lost")]
    armed = []

    def before(rows):
        if armed and (error := errors.pop(0)) is not None:
            raise error

    model = doubler("ill", before=before, max_rows=1, sink=sink, scale=np.nan)
    with Worker("ill", model, sink=sink) as worker:
        armed.append(True)
        for message in ("no room", "not finite", "lost"):
            with pytest.raises(Exception, match=message):
                worker.submit({"x": np.ones((2, 5), np.float32)}).result(5)


def use_a_store(sink, folder):
    store = EngineStore(folder)
    watch_store(store, sink)
    for _ in range(2):
        store.get_or_build("a" * 64, lambda: ENGINE)


def run_on_a_played_gpu(sink, monkeypatch):
    """Report what a session on a GPU reports."""
    install(monkeypatch)
    with Session(ENGINE) as session:
        session.run(FEED)
        sampler = LayerSampler(session.profile, "fake", sink, every=1)
        sampler.offer(FEED)
        memory = session.memory()
        sink.set("engine_memory_bytes", "fake", "context", to=memory.scratch_bytes)
        time.sleep(0.2)
        sampler.close()


def check_all(asked):
    """Check that every metric has its labels, that series are few, and that Prometheus takes all queries."""
    for metric in METRICS.values():
        name = metric.full_name + ("_bucket" if metric.kind == "histogram" else "")
        series = asked.get("/api/v1/series", **{"match[]": name})
        wanted = {*metric.labels, "__name__", "instance", "job"} | ({"le"} if metric.buckets else set())
        assert series, f"no series of {name}"
        assert {frozenset(each) for each in series} == {frozenset(wanted)}, name
        if metric.buckets:
            bounds = {float(each["le"]) for each in series}
            assert bounds == {*metric.buckets, float("inf")}
    assert asked.value('count({__name__=~"trtforge_.*"})') < 2000
    assert asked.value("scrape_samples_scraped") < 2000
    [target] = asked.get("/api/v1/targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    [group] = asked.get("/api/v1/rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}
    assert len(group["rules"]) == 7
    for panel in PANELS:
        for query in panel.queries:
            expression = query.expression.replace("$__rate_interval", "1m").replace("$pipeline", ".*")
            if PROCESS_ENDS.name in expression:  # there is no other process here
                continue
            end = time.monotonic() + 10
            while not asked.get("/api/v1/query", query=expression)["result"] and "trtforge" in expression:
                assert time.monotonic() < end, f"{panel.title} shows nothing"
                time.sleep(0.2)  # a rate needs two scrapes
