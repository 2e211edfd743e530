"""A worker over an engine on a real GPU: its answers, its metrics, and what it does after a sticky error."""

import threading
import time

import numpy as np
import pytest

from tests.engine.networks import PROFILE, conv_net
from tests.gpu.needs import why_not
from trtforge._optional import is_installed
from trtforge.engine import build
from trtforge.nvidia.device_memory import MemoryReader
from trtforge.runtime import BatchingRule, Session, buckets_of
from trtforge.serving import Arrays, ServedModel, Worker
from trtforge.serving.gpu_watch import GpuWatch
from trtforge.serving.metrics import PrometheusSink

_REASON = why_not("onnxruntime", "prometheus_client")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


@pytest.fixture(scope="module")
def engine():
    return build(conv_net(), profiles=[PROFILE], flavor="tensorrt")


def mel(length, seed):
    return np.random.default_rng(seed).uniform(-4, 4, (4, length)).astype(np.float32)


def test_a_worker_answers_as_the_session_does_and_its_metrics_move(engine):
    sink = PrometheusSink()
    session = Session(engine, max_contexts=2, cuda_graphs=4)
    rule = BatchingRule(buckets_of(session.profiles, "mel"), max_wait=0.001)
    model = ServedModel("conv", session, Arrays("mel"), rule, sink=sink, layer_samples=5)
    with Worker("p", model, sink=sink, deadline=30.0) as worker:
        futures = [worker.submit({"mel": mel(8 + seed % 40, seed)}) for seed in range(60)]
        answers = [future.result(30) for future in futures]
        time.sleep(1.5)  # one tick, and a sample of layers
        longest = rule.max_frames
        padded = np.zeros((1, 4, longest), np.float32)
        padded[0, :, :8] = mel(8, 0)
        wanted = session.run({"mel": padded})["logits"][0]
        np.testing.assert_allclose(answers[0].value["logits"], wanted, atol=1e-4)
        weights = {"engine": "conv", "kind": "weights"}
        assert sink.registry.get_sample_value("trtforge_engine_memory_bytes", weights) is not None
    inferences = {"engine": "conv", "profile": "0"}
    count = sink.registry.get_sample_value("trtforge_infer_duration_seconds_count", inferences)
    total = sink.registry.get_sample_value("trtforge_infer_duration_seconds_sum", inferences)
    assert count > 4
    assert 0 < total / count < 0.1
    page = sink.page().decode()
    layers = [line for line in page.splitlines() if line.startswith("trtforge_layer_duration_seconds_sum")]
    assert layers
    print(f"mean inference {1e6 * total / count:.1f} us over {count:.0f}; layers: {layers[:5]}")


def test_the_time_between_events_is_less_than_the_call(engine):
    told = []
    with Session(engine, max_contexts=1) as session:
        arrays = {"mel": mel(64, 1)[None]}
        session.run(arrays)
        session.on_inference = lambda milliseconds, profile: told.append((milliseconds, profile))
        for _ in range(20):
            begin = time.perf_counter()
            session.run(arrays)
            wall_ms = 1000 * (time.perf_counter() - begin)
            assert 0 < told[-1][0] < wall_ms
    assert {profile for _, profile in told} == {0}


@pytest.mark.skipif(not is_installed("pynvml"), reason="nvidia-ml-py is not installed")
def test_nvml_tells_the_memory_of_the_gpu():
    sink = PrometheusSink()
    with MemoryReader() as reader:
        share = GpuWatch(sink, reader).share(0)
    assert 0 < share < 1
    total = sink.registry.get_sample_value("trtforge_gpu_memory_total_bytes", {"gpu": "0"})
    assert total > 2**30


def test_many_threads_share_a_worker(engine):
    session = Session(engine, max_contexts=2)
    rule = BatchingRule(buckets_of(session.profiles, "mel"), max_wait=0.001)
    done = []
    with Worker("p", ServedModel("conv", session, Arrays("mel"), rule), deadline=30.0) as worker:

        def send(seed):
            done.append(worker.submit({"mel": mel(20, seed)}).result(30).tier)

        threads = [threading.Thread(target=send, args=(seed,)) for seed in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert done == ["full"] * 32
