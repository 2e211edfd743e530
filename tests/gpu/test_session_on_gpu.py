"""Sessions on a real GPU: threads, device arrays, CUDA graphs, data-dependent outputs, memory."""

import os
import threading
import warnings
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from tests.engine.networks import PROFILE, conv_net, reshaping_net
from tests.gpu.needs import why_not
from trtforge.engine import build
from trtforge.errors import ExecutionError, InputError, OutOfMemoryError
from trtforge.nvidia.cuda import (
    DeviceBuffer,
    PinnedBuffer,
    Stream,
    copy_to_device,
    device_of,
    free_memory_bytes,
    set_device,
)
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import OnnxRunner, Session

_REASON = why_not("onnxruntime")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

SHAPES = ((1, 4, 8), (2, 4, 32), (3, 4, 17), (4, 4, 64), (1, 4, 64))


def mel(shape, seed=0):
    return np.random.default_rng(seed).uniform(-4, 4, shape).astype(np.float32)


@pytest.fixture(scope="module")
def engine():
    return build(conv_net(), profiles=[PROFILE], flavor="tensorrt")


@pytest.fixture(scope="module")
def feeds(engine):
    """Requests of several shapes, and the results that one context gives one after another."""
    requests = [{"mel": mel(SHAPES[seed % len(SHAPES)], seed)} for seed in range(40)]
    with Session(engine, max_contexts=1) as session:
        return [(arrays, session.run(arrays)["logits"].tobytes()) for arrays in requests]


@pytest.fixture(autouse=True)
def _no_fallback():
    """A fallback is said by a warning; here it is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning)
        yield


def test_contexts_of_an_engine_share_its_profile(engine, feeds):
    with Session(engine, max_contexts=4) as session:
        lanes = [session._lanes.acquire() for _ in range(4)]
        for lane in lanes:
            session._lanes.release(lane)
        assert session.memory().num_contexts == 4
        assert session.run(feeds[0][0])["logits"].tobytes() == feeds[0][1]


@pytest.mark.parametrize("cuda_graphs", [0, 3])
def test_threads_give_the_serial_results_bit_for_bit(engine, feeds, cuda_graphs):
    wrong, errors = [], []
    with Session(engine, max_contexts=4, cuda_graphs=cuda_graphs) as session:

        def work(seed):
            try:
                for turn in range(400):
                    arrays, wanted = feeds[(turn * 7 + seed) % len(feeds)]
                    if session.run(arrays)["logits"].tobytes() != wanted:
                        wrong.append((seed, turn))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert wrong == []
        if cuda_graphs:
            assert session.counts["graph_replays"] > 0


def test_futures_give_the_serial_results_bit_for_bit(engine, feeds):
    with Session(engine, max_contexts=3) as session:
        futures = [session.submit(arrays) for arrays, _ in feeds * 5]
        for future, (_, wanted) in zip(futures, feeds * 5, strict=True):
            assert future.result()["logits"].tobytes() == wanted


def test_arrays_on_the_gpu(engine, feeds):
    with Session(engine) as session:
        for arrays, wanted in feeds[:10]:
            given = {"mel": session.to_device(arrays["mel"])}
            assert device_of(given["mel"].address) == 0
            np.testing.assert_array_equal(given["mel"].numpy(), arrays["mel"])
            result = session.run(given, outputs="device")["logits"]
            assert result.numpy().tobytes() == wanted
            assert session.run(given)["logits"].tobytes() == wanted
        assert session.counts["layout_copies"] == 0


class Interface:
    """An array that only speaks the CUDA array interface."""

    def __init__(self, owner, **told):
        self.owner, self.told = owner, told

    @property
    def __cuda_array_interface__(self):
        return {**self.owner.__cuda_array_interface__, **self.told}


class Dlpack:
    """An array that only speaks DLPack."""

    def __init__(self, owner):
        self.owner = owner

    def __dlpack__(self, *, stream=None):
        assert stream
        return self.owner.__dlpack__(stream=stream)

    def __dlpack_device__(self):
        return self.owner.__dlpack_device__()


def test_arrays_of_other_libraries(engine, feeds):
    arrays, wanted = feeds[3]
    with Session(engine) as session:
        owner = session.to_device(arrays["mel"])
        for value in (
            Interface(owner),
            Interface(owner, version=2),
            Interface(owner, stream=2),
            Dlpack(owner),
        ):
            assert session.run({"mel": value})["logits"].tobytes() == wanted
        assert session.counts["layout_copies"] == 0
        small = arrays["mel"][:, :, :32]
        strides = arrays["mel"].strides
        with pytest.raises(InputError, match="it is not C-contiguous"):
            session.run({"mel": Interface(owner, shape=small.shape, strides=strides)})
        with pytest.raises(InputError, match="is not memory of a GPU"):
            session.run({"mel": Interface(owner, data=(arrays["mel"].ctypes.data, False))})
        # The second row begins at no multiple of 256 bytes, which TensorRT asks for.
        rows = feeds[2][0]["mel"]
        owner = session.to_device(rows)
        odd = Interface(owner, shape=rows[1:].shape, data=(owner.address + rows[0].nbytes, False))
        wanted = session.run({"mel": np.ascontiguousarray(rows[1:])})["logits"]
        np.testing.assert_array_equal(session.run({"mel": odd})["logits"], wanted)
        assert session.counts["layout_copies"] == 1
        assert session.alive


def test_the_stream_that_writes_an_input_is_waited_for(engine, feeds):
    arrays, wanted = feeds[3]
    num_bytes, big = arrays["mel"].nbytes, 256 << 20
    with Session(engine) as session, Stream() as stream, PinnedBuffer() as pinned, PinnedBuffer() as large:
        owner = session.to_device(np.zeros_like(arrays["mel"]))
        with DeviceBuffer() as hog, DeviceBuffer() as target:
            hog.reserve(big)
            large.reserve(big)
            target.reserve(num_bytes)
            pinned.reserve(num_bytes)
            pinned.view(arrays["mel"].shape, np.dtype(np.float32))[...] = arrays["mel"]
            session.run({"mel": owner})
            copy_to_device(hog, large, big, stream)  # takes milliseconds
            copy_to_device(target, pinned, num_bytes, stream)
            value = Interface(owner, data=(target.address, False), stream=stream.handle)
            assert session.run({"mel": value})["logits"].tobytes() == wanted
            stream.synchronize()


def test_a_graph_gives_what_an_enqueue_gives(engine, feeds):
    with Session(engine, max_contexts=1, cuda_graphs=4) as session:
        for arrays, wanted in feeds * 6:
            assert session.run(arrays)["logits"].tobytes() == wanted
        assert session.counts["graph_replays"] > 0
    with Session(engine, max_contexts=1, cuda_graphs=4) as session:
        given = {"mel": session.to_device(feeds[3][0]["mel"])}
        for _ in range(10):
            result = session.run(given, outputs="device")["logits"]
            assert result.numpy().tobytes() == feeds[3][1]
        before = session.counts["graph_replays"]
        for _ in range(10):
            result = session.run(given, outputs="device")["logits"]
            assert result.numpy().tobytes() == feeds[3][1]
        assert session.counts["graph_replays"] > before


@pytest.fixture(scope="module")
def selecting():
    """A network one of whose outputs has as many columns as the input has values that are not zero."""
    return onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[rows, 8] x) => (float[rows, 8] twice, int64[2, found] places)
        <float two = {2.0}>
        { twice = Mul(x, two)
          places = NonZero(x) }"""
    )


def test_an_output_whose_shape_depends_on_the_data(selecting):
    profile = OptimizationProfile({"x": ((1, 8), (16, 8), (64, 8))})
    reference = OnnxRunner(selecting)
    rng = np.random.default_rng(0)
    with Session(build(selecting, profiles=[profile], flavor="tensorrt"), max_contexts=2) as session:
        for rows, share in ((16, 0.5), (64, 1.0), (1, 0.0), (16, 0.1), (64, 0.9)):
            x = (rng.uniform(1, 2, (rows, 8)) * (rng.random((rows, 8)) < share)).astype(np.float32)
            wanted = reference.run({"x": x})
            for outputs in ("numpy", "device"):
                got = session.run({"x": x}, outputs=outputs)
                values = {name: value if outputs == "numpy" else value.numpy() for name, value in got.items()}
                np.testing.assert_array_equal(values["twice"], wanted["twice"])
                assert values["places"].shape == wanted["places"].shape
                np.testing.assert_array_equal(values["places"].astype(np.int64), wanted["places"])


def test_values_that_decide_shapes():
    profile = OptimizationProfile(
        {"x": ((1, 8), (4, 8), (16, 8))}, values={"target": ((1, 4), (8, 4), (64, 8))}
    )
    reference = OnnxRunner(reshaping_net())
    rng = np.random.default_rng(0)
    with Session(build(reshaping_net(), profiles=[profile], flavor="tensorrt")) as session:
        for rows, target in ((4, (8, 4)), (4, (4, 8)), (2, (4, 4)), (16, (32, 4)), (4, (8, 4))):
            arrays = {"x": rng.standard_normal((rows, 8), np.float32), "target": np.array(target, np.int64)}
            got, wanted = session.run(arrays)["y"], reference.run(arrays)["y"]
            assert got.shape == target
            np.testing.assert_array_equal(got, wanted)


def test_layers_are_timed(engine, feeds):
    arrays, wanted = feeds[1]
    with Session(engine) as session:
        times = session.profile(arrays, repeats=20)
        assert len(times) >= 1
        assert all(layer.name and layer.ms >= 0 for layer in times)
        assert 0 < sum(layer.ms for layer in times) < 10
        assert session.run(arrays)["logits"].tobytes() == wanted


def test_memory_that_is_not_there_leaves_the_session_usable(engine, feeds):
    with Session(engine) as session:
        set_device(0)
        with DeviceBuffer() as hog:
            hog.reserve(free_memory_bytes() - (256 << 20))
            with pytest.raises(OutOfMemoryError) as caught:
                session.to_device(np.zeros(512 << 20, np.uint8))
            assert caught.value.retryable
            assert session.run(feeds[0][0])["logits"].tobytes() == feeds[0][1]
        assert session.run(feeds[0][0])["logits"].tobytes() == feeds[0][1]
        assert session.alive


def _memory():
    set_device(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), free_memory_bytes()


# The driver takes memory in blocks of 2 MiB; which graphs are kept, and their memory, changes with requests.
@pytest.mark.parametrize(("cuda_graphs", "slack_bytes"), [(0, 4 << 20), (2, 32 << 20)])
def test_memory_does_not_grow_with_requests(engine, feeds, cuda_graphs, slack_bytes):
    with Session(engine, max_contexts=2, cuda_graphs=cuda_graphs) as session:

        def serve(count):
            for index in range(count):
                arrays, wanted = feeds[index % (2 if cuda_graphs else len(feeds))]
                assert session.run(arrays)["logits"].tobytes() == wanted
                given = {"mel": session.to_device(arrays["mel"])}
                session.run(given, outputs="device")

        serve(400)
        host, free = _memory()
        serve(2000)
        host_after, free_after = _memory()
        told = session.memory()
    assert free - free_after <= slack_bytes
    assert host_after - host <= 16 << 20
    assert told.num_contexts == 1 + cuda_graphs
    assert told.tensor_bytes > 0


def test_closing_gives_the_memory_back(engine, feeds):
    before = None
    for _ in range(6):
        with Session(engine, max_contexts=2, cuda_graphs=2) as session:
            for arrays, _ in feeds:
                session.run(arrays)
        with pytest.raises(ExecutionError, match="the session is closed"):
            session.run(feeds[0][0])
        before = before or _memory()[1]
    assert before - _memory()[1] <= 8 << 20
