import threading
import time

import numpy as np
import pytest

from tests.runtime.fake_gpu import ENGINE, install
from trtforge.errors import DeviceLostError, OutOfMemoryError
from trtforge.runtime import LayerTime, Session
from trtforge.serving.layer_sampling import LayerSampler, group_layers
from trtforge.serving.metrics import PrometheusSink

ARRAYS = {"x": np.ones((1, 3), np.float32), "n": np.ones(1, np.int32)}


def test_layers_of_like_name_are_a_group_and_the_shortest_are_the_rest():
    times = [
        LayerTime("/encoder/layer.0/conv/Conv + /encoder/layer.0/Relu", 1.0),
        LayerTime("/encoder/layer.11/conv/Conv", 2.0),
        LayerTime("{ForeignNode[/head/MatMul]}", 0.5),
        LayerTime("Reformatting CopyNode for Input Tensor 0", 0.1),
    ]
    assert group_layers(times, most=2) == {
        times[0].name: "/encoder/layer.N/conv/Conv",
        times[1].name: "/encoder/layer.N/conv/Conv",
        times[2].name: "ForeignNode[/head/MatMul]",
        times[3].name: "other",
    }


def test_one_inference_in_so_many_is_timed_in_a_thread_of_its_own():
    sink, ran, threads = PrometheusSink(), threading.Event(), set()

    def profile(arrays, repeats):
        threads.add(threading.current_thread().name)
        assert (repeats, arrays["x"].shape) == (1, (1, 3))
        ran.set()
        return [LayerTime("conv1", 2.0), LayerTime("conv2", 1.0)]

    sampler = LayerSampler(profile, "e", sink, every=3)
    for _ in range(2):
        sampler.offer(ARRAYS)
    assert not ran.wait(0.05)
    sampler.offer(ARRAYS)
    assert ran.wait(5)
    sampler.close()
    assert threads == {"trtforge-layers"}
    labels = {"engine": "e", "layer_group": "convN"}
    value = sink.registry.get_sample_value("trtforge_layer_duration_seconds_sum", labels)
    assert value == pytest.approx(0.003)


def test_a_sample_for_which_there_is_no_memory_is_left_out():
    calls = []

    def profile(arrays, repeats):
        calls.append(repeats)
        if len(calls) == 1:
            raise OutOfMemoryError("no room for a context")
        return [LayerTime("conv", 1.0)]

    sink = PrometheusSink()
    sampler = LayerSampler(profile, "e", sink, every=1)
    while len(calls) < 2:
        sampler.offer(ARRAYS)
        time.sleep(0.01)
    sampler.close()
    labels = {"engine": "e", "layer_group": "conv"}
    assert sink.registry.get_sample_value("trtforge_layer_duration_seconds_count", labels) >= 1


def test_a_session_tells_the_time_between_events_and_its_layers(monkeypatch):
    install(monkeypatch)
    sink, told = PrometheusSink(), []
    with Session(ENGINE) as session:
        session.run(ARRAYS)
        assert told == []
        session.on_inference = lambda milliseconds, profile: told.append((milliseconds, profile))
        session.run(ARRAYS)
        session.run({"x": np.ones((5, 3), np.float32), "n": np.ones(5, np.int32)})
        assert told == [(1.5, 0), (1.5, 1)]
        sampler = LayerSampler(session.profile, "fake", sink, every=1)
        sampler.offer(ARRAYS)
        time.sleep(0.2)
        sampler.close()
    for layer, seconds in (("twice", 0.0005), ("plus", 0.00025)):
        labels = {"engine": "fake", "layer_group": layer}
        value = sink.registry.get_sample_value("trtforge_layer_duration_seconds_sum", labels)
        assert value == pytest.approx(seconds)


def test_closing_after_the_gpu_was_lost_waits_for_nobody():
    begun, go_on = threading.Event(), threading.Event()

    def profile(arrays, repeats):
        begun.set()
        assert go_on.wait(5)
        raise DeviceLostError("lost")

    sampler = LayerSampler(profile, "e", PrometheusSink(), every=1)
    sampler.offer(ARRAYS)
    assert begun.wait(5)
    sampler.offer(ARRAYS)  # waits, and will never be taken
    go_on.set()
    closing = threading.Thread(target=sampler.close, daemon=True)
    closing.start()
    closing.join(5)
    assert not closing.is_alive()
