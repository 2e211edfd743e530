"""What a session does beside running: futures, device arrays, CUDA graphs, layer times, memory."""

import threading
import warnings
from concurrent.futures import wait

import numpy as np
import pytest

from tests.runtime import fake_gpu
from trtforge.errors import ConfigError, DeviceLostError, ExecutionError, InputError, OutOfMemoryError
from trtforge.runtime import DeviceArray, Session, device_array


@pytest.fixture
def machine(monkeypatch):
    return fake_gpu.install(monkeypatch)


def feed(batch, value=1.0):
    return {
        "x": np.full((batch, 3), value, np.float32) + np.arange(3, dtype=np.float32),
        "n": np.arange(batch, dtype=np.int32),
    }


def expected(arrays):
    return 2 * arrays["x"] + arrays["n"][:, None]


def test_futures_give_what_run_gives(machine):
    feeds = [feed(batch, value) for value in range(20) for batch in (1, 2, 4, 8)]
    with Session(fake_gpu.ENGINE, max_contexts=3) as session:
        serial = [session.run(arrays)["y"] for arrays in feeds]
        futures = [session.submit(arrays) for arrays in feeds]
        wait(futures)
        for future, wanted in zip(futures, serial, strict=True):
            np.testing.assert_array_equal(future.result()["y"], wanted)
        refused = session.submit({"x": feed(1)["x"]})
        with pytest.raises(InputError, match=r"missing \['n'\]"):
            refused.result()
        last = session.submit(feed(2))
    np.testing.assert_array_equal(last.result()["y"], expected(feed(2)))
    with pytest.raises(ExecutionError, match="the session is closed"):
        session.submit(feed(1))


def test_a_session_is_not_closed_from_its_own_callbacks(machine):
    heard = []

    def close(done):
        with pytest.raises(ExecutionError, match="cannot be closed from its own callbacks"):
            session.close()
        heard.append(done.result()["y"].shape)

    started, go = threading.Event(), threading.Event()
    with Session(fake_gpu.ENGINE) as session:
        session.on_inference = lambda ms, profile: (started.set(), go.wait(10))
        future = session.submit(feed(2))
        assert started.wait(10)
        future.add_done_callback(close)
        go.set()
        future.result()
        session.on_inference = None
        assert session.alive
        session.on_inference = lambda ms, profile: session.close()
        with pytest.raises(ExecutionError, match="cannot be closed from its own callbacks"):
            session.run(feed(1))
        assert session.alive
    assert heard == [(2, 3)]


@pytest.mark.parametrize("value", [[1.0, 2.0], np.array(["a"]), np.zeros(2, ">f4"), np.array([None])])
def test_only_numbers_are_sent_to_the_gpu(machine, value):
    with Session(fake_gpu.ENGINE) as session, pytest.raises(InputError, match="only NumPy arrays of numbers"):
        session.to_device(value)


def test_closing_waits_for_the_call_under_way(machine, monkeypatch):
    _, driver = machine
    inside, go_on = threading.Event(), threading.Event()
    held = fake_gpu.FakeContext._compute

    def compute(self, shapes, addresses):
        inside.set()
        assert go_on.wait(10)
        held(self, shapes, addresses)

    monkeypatch.setattr(fake_gpu.FakeContext, "_compute", compute)
    session, results = Session(fake_gpu.ENGINE, max_contexts=1), []
    runner = threading.Thread(target=lambda: results.append(session.run(feed(1))))
    runner.start()
    assert inside.wait(10)
    refused = []

    def try_to_run():
        try:
            session.run(feed(1))
        except ExecutionError as error:
            refused.append(error.message)

    waiter = threading.Thread(target=try_to_run)
    waiter.start()
    closer = threading.Thread(target=session.close)
    closer.start()
    waiter.join(10)
    assert closer.is_alive()
    assert driver.memory != {}
    go_on.set()
    runner.join(10)
    closer.join(10)
    np.testing.assert_array_equal(results[0]["y"], expected(feed(1)))
    assert len(refused) == 1
    assert "closed" in refused[0]
    assert driver.memory == {}
    assert not session.alive


def test_arrays_on_the_gpu_are_not_copied(machine):
    library, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        arrays = feed(2)
        inputs = {name: session.to_device(array) for name, array in arrays.items()}
        assert repr(inputs["x"]) == "<DeviceArray float32 [2, 3] on GPU 0>"
        driver.calls.clear()
        first = session.run(inputs, outputs="device")
        assert isinstance(first["y"], DeviceArray)
        assert not [call for call in driver.calls if call.startswith("cudaMemcpy")]
        (context,) = library.contexts
        assert context.addresses == {
            "x": inputs["x"].address,
            "n": inputs["n"].address,
            "y": first["y"].address,
        }
        second = session.run({"x": first["y"], "n": inputs["n"]}, outputs="device")
        np.testing.assert_array_equal(first["y"].numpy(), expected(arrays))
        wanted = expected({"x": expected(arrays), "n": arrays["n"]})
        np.testing.assert_array_equal(second["y"].numpy(), wanted)
        np.testing.assert_array_equal(session.run({**inputs, "n": arrays["n"]})["y"], expected(arrays))
        assert session.counts["layout_copies"] == 0
        left = first["y"].address
        del first
        assert session.run(inputs, outputs="device")["y"].address == left
    assert len(driver.memory) == 3
    del inputs, second
    assert driver.memory == {}


def test_memory_that_another_library_saw_is_freed(machine):
    _, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        given = session.run(feed(2), outputs="device")["y"]
        told = given.__cuda_array_interface__
        assert told == {
            "shape": (2, 3),
            "typestr": "<f4",
            "data": (given.address, False),
            "strides": None,
            "stream": None,
            "version": 3,
        }
        assert given.address in driver.memory
        del given
        assert told["data"][0] not in driver.memory


class Foreign:
    """An array of another library on the fake GPU."""

    def __init__(self, driver, array, *, device=0, offset=0, **told):
        self.array = array
        block = driver.cudaMalloc(array.nbytes + offset)[1]
        self.address = block + offset
        driver.device_of[self.address] = device
        driver.cudaMemcpy(self.address, np.ascontiguousarray(array).ctypes.data, array.nbytes, 1)
        self.told = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            **told,
        }

    @property
    def __cuda_array_interface__(self):
        return self.told


class Strided(Foreign):
    def contiguous(self):
        self.told["strides"] = None
        return self


def test_what_speaks_the_cuda_array_interface_is_read_where_it_lies(machine):
    library, driver = machine
    arrays = feed(2)
    with Session(fake_gpu.ENGINE) as session:
        n = Foreign(driver, arrays["n"], stream=5)
        for told, waits in (({"version": 2}, [1]), ({"stream": 33}, [33]), ({"stream": None}, [])):
            x = Foreign(driver, arrays["x"], **told)
            driver.waits.clear()
            np.testing.assert_array_equal(session.run({"x": x, "n": n})["y"], expected(arrays))
            assert driver.waits == [*waits, 5]
            (context,) = library.contexts
            assert context.addresses["x"] == x.address
        assert session.counts["layout_copies"] == 0
        odd = Foreign(driver, arrays["x"], offset=4, stream=None)
        np.testing.assert_array_equal(session.run({"x": odd, "n": n})["y"], expected(arrays))
        assert session.counts["layout_copies"] == 1
        strided = Strided(driver, arrays["x"], strides=(4, 8), stream=None)
        np.testing.assert_array_equal(session.run({"x": strided, "n": n})["y"], expected(arrays))
        assert session.counts["layout_copies"] == 2


class Dlpack:
    """An array of another library that only speaks DLPack."""

    def __init__(self, owner, device=0):
        self.owner, self.device, self.streams = owner, device, []

    def __dlpack__(self, *, stream):
        self.streams.append(stream)
        return self.owner.__dlpack__(stream=stream)

    def __dlpack_device__(self):
        return 2, self.device


def test_what_speaks_dlpack_is_read_where_it_lies(machine):
    library, driver = machine
    arrays = feed(2)
    with Session(fake_gpu.ENGINE) as session:
        x = Dlpack(session.to_device(arrays["x"]))
        for _ in range(3):
            np.testing.assert_array_equal(session.run({**arrays, "x": x})["y"], expected(arrays))
        (context,) = library.contexts
        assert context.addresses["x"] == x.owner.address
        assert x.streams == [7, 7, 7]
        x.device = 3
        with pytest.raises(InputError, match="it lies on GPU 3, the session runs on GPU 0"):
            session.run({**arrays, "x": x})
        del x
    assert driver.memory == {}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"strides": (4, 8)}, "a Foreign on a GPU, cannot be read: it is not C-contiguous"),
        ({"device": 1}, "it lies on GPU 1, the session runs on GPU 0"),
        ({"typestr": "<f8"}, "input 'x' has dtype float64, wanted x: float32"),
        ({"shape": (2, 4)}, r"input 'x' has shape \(2, 4\), wanted x: float32"),
        ({"data": (12, False)}, "address 0xc is not memory of a GPU"),
        ({"mask": 1}, "it is masked"),
        ({"typestr": "what"}, "cannot be read: TypeError"),
    ],
)
def test_what_does_not_fit_on_the_gpu_is_said(machine, made, message):
    _, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        arrays = feed(2)
        with pytest.raises(InputError, match=message):
            session.run({"x": Foreign(driver, arrays["x"], **made), "n": arrays["n"]})
        np.testing.assert_array_equal(session.run(arrays)["y"], expected(arrays))


def test_device_arrays_of_another_dtype_and_host_arrays_of_other_libraries(machine):
    torch = pytest.importorskip("torch")
    with Session(fake_gpu.ENGINE) as session:
        arrays = feed(2)
        with pytest.raises(InputError, match="input 'x' has dtype int32, wanted"):
            session.run({"x": session.to_device(arrays["n"]), "n": arrays["n"]})
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        np.testing.assert_array_equal(session.run(tensors)["y"], expected(arrays))
        with pytest.raises(InputError, match="input 'x', a Tensor, could not be lent"):
            session.run({**tensors, "x": tensors["x"].clone().requires_grad_()})
        with pytest.raises(InputError, match="'x' must be a NumPy array, got list"):
            session.run({**tensors, "x": [1.0]})


def test_graphs_replay_what_comes_again_and_are_bounded(machine):
    library, driver = machine
    with Session(fake_gpu.ENGINE, max_contexts=1, cuda_graphs=2) as session:
        for value in range(6):
            np.testing.assert_array_equal(session.run(feed(2, value))["y"], expected(feed(2, value)))
        assert (len(driver.graphs), session.counts["graph_replays"]) == (1, 4)
        assert len(library.contexts) == 2
        for batch in (1, 4, 8, 2, 5, 6, 7, 8, 1, 2) * 6:
            np.testing.assert_array_equal(session.run(feed(batch, batch))["y"], expected(feed(batch, batch)))
            assert len(driver.graphs) <= 2
            assert len(library.contexts) <= 4
        assert session.memory().num_contexts == 2 + len(driver.graphs)
        assert session.memory().scratch_bytes == 1000
        inputs = {name: session.to_device(array) for name, array in feed(2).items()}
        outputs = []
        for _ in range(20):
            outputs = [session.run(inputs, outputs="device")["y"]]
            np.testing.assert_array_equal(outputs[0].numpy(), expected(feed(2)))
        del inputs, outputs
    assert (driver.graphs, driver.memory) == ({}, {})


def test_calls_that_ask_for_no_graph_are_enqueued(machine):
    _, driver = machine
    with Session(fake_gpu.ENGINE, max_contexts=1, cuda_graphs=2) as session:
        for _ in range(4):
            np.testing.assert_array_equal(session.run(feed(2), graph=False)["y"], expected(feed(2)))
        assert (driver.graphs, session.counts["graph_replays"]) == ({}, 0)
        for _ in range(3):
            session.run(feed(2))
        assert (len(driver.graphs), session.counts["graph_replays"]) == (1, 1)


def test_where_no_graph_can_be_recorded_inferences_are_enqueued(machine):
    _, driver = machine
    driver.failures["cudaStreamBeginCapture"] = "cudaErrorStreamCaptureUnsupported"
    with Session(fake_gpu.ENGINE, max_contexts=1, cuda_graphs=2) as session:
        session.run(feed(2))
        with pytest.warns(RuntimeWarning, match="CUDA graphs are not used, .* CUDA failed to begin"):
            got = session.run(feed(2))["y"]
        np.testing.assert_array_equal(got, expected(feed(2)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(session.run(feed(2))["y"], expected(feed(2)))
        assert session.memory().num_contexts == 1


def test_outputs_that_depend_on_the_data_are_not_recorded(machine):
    library, driver = machine
    library.data_dependent = True
    with Session(fake_gpu.ENGINE, cuda_graphs=2) as session:
        with pytest.warns(RuntimeWarning, match=r"outputs \['y'\] depend on the data"):
            session.run(feed(2))
        session.run(feed(2))
    assert driver.graphs == {}


def test_idle_contexts_make_room_once(machine):
    library, driver = machine
    with Session(fake_gpu.ENGINE, max_contexts=2) as session:
        assert session.run(feed(2))["y"].shape == (2, 3)
        made, failed = library.num_made, []
        plain = fake_gpu.FakeCuda.cudaMalloc

        def fail_once(size):
            if not failed:
                failed.append(size)
                driver.failures["cudaMalloc"] = "cudaErrorMemoryAllocation"
                result = plain(driver, size)
                del driver.failures["cudaMalloc"]
                return result
            return plain(driver, size)

        driver.cudaMalloc = fail_once
        np.testing.assert_array_equal(session.run(feed(8))["y"], expected(feed(8)))
        assert failed
        assert library.num_made == made + 3  # for the larger profile, and for both anew
        assert session.counts["memory_retries"] == 1


def test_fewer_contexts_serve_where_more_cannot_be_made(machine):
    library, _ = machine
    library.shares_profiles = False
    barrier = threading.Barrier(4)
    with Session(fake_gpu.ENGINE, max_contexts=4) as session:
        results, warned = [], []

        def work():
            barrier.wait(10)
            for _ in range(30):
                results.append(session.run(feed(2))["y"])

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            leased = session._lanes.acquire()
            with pytest.raises(Exception, match="Profile 0 has been chosen by another context"):
                session._lanes.acquire()
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            session._lanes.release(leased)
            for thread in threads:
                thread.join(20)
            warned = [str(each.message) for each in caught]
        assert len(results) == 120
        assert all("no more than 1 of max_contexts=4 contexts" in message for message in warned)
        assert len(warned) <= 1


def test_a_call_waits_where_memory_has_no_room_for_its_context(machine):
    library, _ = machine
    results, said = [], []
    with Session(fake_gpu.ENGINE, max_contexts=3) as session:
        held = session._lanes.acquire()
        library.has_context = False

        def work():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                results.append(session.run(feed(2))["y"])
            said.extend(str(each.message) for each in caught)

        thread = threading.Thread(target=work)
        thread.start()
        while not session._lanes._waiting:
            assert thread.is_alive()
        assert results == []
        session._lanes.release(held)
        thread.join(10)
        assert session.memory().num_contexts == 1
    np.testing.assert_array_equal(results[0], expected(feed(2)))
    assert said == [
        "no more than 1 of max_contexts=3 contexts are used: no execution context could be made: the library "
        "gave no reason"
    ]


def test_a_lost_gpu_ends_the_session(machine):
    _, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        assert session.alive
        driver.failures["cudaStreamSynchronize"] = "cudaErrorLaunchFailure"
        with pytest.raises(DeviceLostError, match="cudaErrorLaunchFailure"):
            session.run(feed(1))
        assert not session.alive
        driver.calls.clear()
        with pytest.raises(DeviceLostError, match="lost in an earlier call"):
            session.run(feed(1))
        assert driver.calls == []
        driver.failures["cudaFree"] = "cudaErrorLaunchFailure"


def test_values_that_are_not_finite(machine):
    arrays = feed(2)
    arrays["x"][1, :2] = np.nan, np.inf
    with Session(fake_gpu.ENGINE) as session:
        assert np.isnan(session.run(arrays)["y"][1, 0])
    with (
        Session(fake_gpu.ENGINE, on_nonfinite="raise") as session,
        pytest.raises(ExecutionError, match="not finite: 2 of 6 values of 'y'"),
    ):
        session.run(arrays)
    with Session(fake_gpu.ENGINE, on_nonfinite="mask") as session:
        got, wanted = session.run(arrays)["y"], expected(arrays)
        wanted[1, :2] = 0
        np.testing.assert_array_equal(got, wanted)
        assert session.counts["masked_values"] == 2
        with pytest.raises(ConfigError, match="on_nonfinite='mask' is checked on the host"):
            session.run(arrays, outputs="device")


def test_layers_are_timed_in_a_context_that_goes(machine):
    library, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        times = session.profile(feed(2), repeats=4)
        assert [(layer.name, layer.ms) for layer in times] == [("twice", 0.5), ("plus", 0.25)]
        assert len(library.contexts) == 0
        np.testing.assert_array_equal(session.run(feed(2))["y"], expected(feed(2)))
        with pytest.raises(ConfigError, match="repeats must be 1 or more, got 0"):
            session.profile(feed(2), repeats=0)
    assert driver.memory == {}


def test_memory_is_told_by_kind(machine):
    _, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        session.run(feed(2))
        told = session.memory()
        assert (told.scratch_bytes, told.num_contexts) == (1000, 1)
        assert told.tensor_bytes == told.pinned_bytes == 24 + 8 + 24
        kept = session.to_device(np.zeros(1000, np.uint8))
        assert session.memory().tensor_bytes == 56 + 1024
        assert session.free_idle() == 1
        assert session.memory().tensor_bytes == 1024
        assert session.memory().num_contexts == 0
        del kept
    assert session.memory().device_bytes == 0
    assert driver.memory == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_contexts": 0}, "max_contexts must be 1 or more, got 0"),
        ({"cuda_graphs": -1}, "cuda_graphs must be 0 or more, got -1"),
        ({"on_nonfinite": "drop"}, "on_nonfinite must be one of"),
    ],
)
def test_settings_out_of_range(machine, settings, message):
    with pytest.raises(ConfigError, match=message):
        Session(fake_gpu.ENGINE, **settings)


def test_a_failed_context_leaves_nothing(machine):
    library, driver = machine
    library.has_context = False
    with pytest.raises(OutOfMemoryError):
        Session(fake_gpu.ENGINE)
    assert (driver.streams, driver.memory) == (0, {})
    library.has_context = True
    with Session(fake_gpu.ENGINE) as session, pytest.raises(ConfigError, match="outputs must be 'numpy'"):
        session.run(feed(1), outputs="torch")


def test_a_loss_while_layers_are_timed_is_remembered(machine):
    _, driver = machine
    session = Session(fake_gpu.ENGINE, max_contexts=1)
    driver.failures["cudaStreamSynchronize"] = "cudaErrorIllegalAddress"
    with pytest.raises(DeviceLostError):
        session.profile(feed(2))
    assert not session.alive
    driver.failures.clear()
    for call in (session.run, session.profile):
        with pytest.raises(DeviceLostError, match="the GPU was lost in an earlier call"):
            call(feed(2))
    session.close()


def test_an_output_whose_shape_becomes_known_is_still_read_from_its_allocator(machine):
    library, _ = machine
    with Session(fake_gpu.ENGINE, max_contexts=1) as session:
        for library.data_dependent, batch in ((True, 1), (False, 2), (True, 4), (False, 8)):
            library.rows = batch
            np.testing.assert_array_equal(session.run(feed(batch))["y"], expected(feed(batch)))
            on_gpu = session.run(feed(batch), outputs="device")["y"]
            np.testing.assert_array_equal(on_gpu.numpy(), expected(feed(batch)))


def test_replays_are_counted_on_after_graphs_are_given_up(machine):
    _, driver = machine
    with Session(fake_gpu.ENGINE, max_contexts=1, cuda_graphs=2) as session:
        for _ in range(6):
            session.run(feed(2))
        assert session.counts["graph_replays"] == 4
        session.profile(feed(2), repeats=1)
        assert session.counts["graph_replays"] == 5
        for _ in range(6):
            session.run(feed(2))
        assert session.counts["graph_replays"] == 9
        driver.failures["cudaStreamBeginCapture"] = "cudaErrorStreamCaptureUnsupported"
        session.run(feed(4))
        with pytest.warns(RuntimeWarning, match="CUDA graphs are not used"):
            session.run(feed(4))
        assert session.counts["graph_replays"] == 9


def test_idle_memory_of_old_sizes_makes_room(machine, monkeypatch):
    _, driver = machine
    monkeypatch.setattr(device_array, "_MAX_IDLE", 64)
    memory = device_array.DeviceMemory(0)
    float32 = np.dtype(np.float32)
    for rows in range(1, 101):
        memory.new((rows, 128), float32)
    assert len(driver.memory) == 64
    assert memory.idle_bytes == 512 * sum(range(37, 101))
    recent = max(driver.memory, key=lambda address: len(driver.memory[address]))
    assert memory.new((100, 128), float32).address == recent
    memory.free_idle()
    monkeypatch.setattr(device_array, "_MAX_IDLE_BYTES", 512 * 150)
    monkeypatch.setattr(device_array, "_MAX_IDLE_SHARE", (1 << 31) // (512 * 100))
    memory = device_array.DeviceMemory(0)
    for rows in range(90, 100):
        memory.new((rows, 128), float32)
    assert memory.idle_bytes == 512 * 99
    memory.new((60, 128), float32)
    assert memory.idle_bytes == 512 * 60
    memory.new((151, 128), float32)
    assert (memory.idle_bytes, driver.memory) == (0, {})
