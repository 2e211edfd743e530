import dataclasses
import os
import threading

import numpy as np
import pytest

from tests.runtime import fake_gpu
from trtforge._files import sha256
from trtforge.engine import Engine, artifact
from trtforge.errors import (
    ConfigError,
    DeviceLostError,
    EngineError,
    EngineIncompatibleError,
    EngineIntegrityError,
    ExecutionError,
    InputError,
    NoGpuError,
    OutOfMemoryError,
    PluginMissingError,
    ProfileError,
)
from trtforge.model import TensorSpec
from trtforge.nvidia import gpus, log
from trtforge.nvidia.devices import Gpu
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import Session


@pytest.fixture
def machine(monkeypatch):
    return fake_gpu.install(monkeypatch)


def feed(batch, *, dtype=np.int32):
    x = np.arange(3 * batch, dtype=np.float32).reshape(batch, 3)
    return {"x": x, "n": np.arange(batch, dtype=dtype)}


def expected(arrays):
    return 2 * arrays["x"] + arrays["n"][:, None]


def test_a_session_runs_at_every_shape_and_gives_everything_back(machine):
    library, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        for batch in (1, 2, 8, 4, 1):
            np.testing.assert_array_equal(session.run(feed(batch))["y"], expected(feed(batch)))
        assert len(driver.memory) == 7  # scratch memory, and two for each tensor
    assert library.profiles_used == [1]
    assert library.num_made == 2  # one context for each profile, however often they take turns
    assert driver.memory == {}
    assert driver.streams == 0
    with pytest.raises(ExecutionError, match="the session is closed"):
        session.run(feed(1))
    session.close()


def test_axes_of_one_name_must_agree(machine):
    with Session(fake_gpu.ENGINE) as session:
        with pytest.raises(InputError) as caught:
            session.run({"x": feed(2)["x"], "n": feed(1)["n"]})
        assert caught.value.message == (
            "axis 0 (batch) of input 'n' is 1, but axis 0 of 'x' has the same name and is 2"
        )
        np.testing.assert_array_equal(session.run(feed(2))["y"], expected(feed(2)))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (None, "inputs must be given by name, got NoneType"),
        ([1, 2], "inputs must be given by name, got list"),
        ({**feed(2), "x": np.ma.masked_array(feed(2)["x"], mask=True)}, "input 'x' is masked"),
        ({**feed(2), "x": feed(2)["x"].astype(">f4")}, "input 'x' has dtype >f4, wanted x: float32"),
    ],
)
def test_what_is_no_input_is_said(machine, arrays, message):
    with Session(fake_gpu.ENGINE) as session, pytest.raises(InputError, match=message):
        session.run(arrays)


def test_results_belong_to_the_caller(machine):
    with Session(fake_gpu.ENGINE) as session:
        first = session(feed(2))["y"]
        kept = first.copy()
        session({"x": np.full((2, 3), 9, np.float32), "n": np.zeros(2, np.int32)})
    np.testing.assert_array_equal(first, kept)


def test_a_layout_that_differs_is_copied_and_int64_is_narrowed(machine):
    arrays = {"x": np.asfortranarray(feed(2)["x"]), "n": np.arange(2, dtype=np.int64)}
    with Session(fake_gpu.ENGINE) as session:
        np.testing.assert_array_equal(session.run(arrays)["y"], expected(arrays))
        arrays["n"] = np.array([0, 2**31])
        with pytest.raises(
            InputError, match="input 'n' holds 0 to 2147483648, too much for the engine's int32"
        ):
            session.run(arrays)


@pytest.mark.parametrize("settings", [{"max_contexts": 1}, {"max_contexts": 3, "cuda_graphs": 2}])
def test_threads_share_contexts(machine, settings):
    _, driver = machine
    results = {}
    with Session(fake_gpu.ENGINE, **settings) as session:

        def work(seed):
            arrays = {"x": np.full((2, 3), seed, np.float32), "n": np.full(2, seed, np.int32)}
            results[seed] = [float(session.run(arrays)["y"][0, 0]) for _ in range(50)]

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert driver.streams <= settings["max_contexts"]
    assert results == {seed: [3.0 * seed] * 50 for seed in range(8)}
    assert (driver.memory, driver.streams, driver.graphs) == ({}, 0, {})


def test_an_input_outside_every_profile_never_reaches_the_library(machine):
    with Session(fake_gpu.ENGINE) as session:
        with pytest.raises(ProfileError) as caught:
            session.run(feed(3))
        assert caught.value.message == (
            "axis 0 of input 'x' is 3, outside 1 to 2 or 4 to 8: (3, 3) arrived, the engine accepts "
            "(1 to 2, 3) or (4 to 8, 3)"
        )
        np.testing.assert_array_equal(session.run(feed(2))["y"], expected(feed(2)))


@pytest.mark.parametrize(
    ("error", "last", "kind", "message"),
    [
        (
            "Error Code 1: kernel",
            "cudaSuccess",
            ExecutionError,
            "the engine did not run: Error Code 1: kernel",
        ),
        (
            "OutOfMemory (Requested 8)",
            "cudaSuccess",
            OutOfMemoryError,
            "no GPU memory left to run the engine",
        ),
        (
            "x",
            "cudaErrorIllegalAddress",
            DeviceLostError,
            "CUDA failed to run the engine: cudaErrorIllegalAddress",
        ),
    ],
)
def test_an_enqueue_that_fails_gives_no_output(machine, error, last, kind, message):
    library, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        library.enqueue_error = error
        driver.failures["cudaGetLastError"] = last
        with pytest.raises(kind, match=message) as caught:
            session.run(feed(1))
        assert type(caught.value) is kind
        assert "cudaStreamSynchronize" in driver.calls
        library.enqueue_error = None
        driver.failures.clear()
        assert session.alive is (kind is not DeviceLostError)
        if session.alive:
            np.testing.assert_array_equal(session.run(feed(1))["y"], expected(feed(1)))
        else:
            with pytest.raises(
                DeviceLostError, match="the GPU was lost in an earlier call: CUDA failed to run"
            ):
                session.run(feed(1))


def test_an_error_that_comes_with_the_wait_is_raised(machine):
    _, driver = machine
    with Session(fake_gpu.ENGINE) as session:
        driver.failures["cudaStreamSynchronize"] = "cudaErrorLaunchFailure"
        with pytest.raises(DeviceLostError, match=r"cudaErrorLaunchFailure\nhint: .*end this process"):
            session.run(feed(1))


def test_memory_that_cannot_be_had_is_said_to_be_retryable(machine):
    library, driver = machine
    library.has_context = False
    with pytest.raises(OutOfMemoryError, match="no execution context could be made") as caught:
        Session(fake_gpu.ENGINE)
    assert caught.value.retryable
    library.has_context = True
    with Session(fake_gpu.ENGINE) as session:
        driver.failures["cudaMalloc"] = "cudaErrorMemoryAllocation"
        with pytest.raises(OutOfMemoryError, match="CUDA failed to reserve 1000 bytes of GPU memory"):
            session.run(feed(1))
        del driver.failures["cudaMalloc"]
        np.testing.assert_array_equal(session.run(feed(1))["y"], expected(feed(1)))


@pytest.mark.parametrize("outputs", ["numpy", "device"])
def test_a_shape_that_depends_on_the_data_is_learnt(machine, outputs):
    library, driver = machine
    library.data_dependent = True
    with Session(fake_gpu.ENGINE) as session:
        for batch, library.rows in ((2, 1), (8, 5), (1, 0), (4, 4)):
            got = session.run(feed(batch), outputs=outputs)["y"]
            assert got.shape == (library.rows, 3)
            values = got if outputs == "numpy" else got.numpy()
            np.testing.assert_array_equal(values, expected(feed(batch))[: library.rows])
        got = session.free_idle()
        driver.failures["cudaMalloc"] = "cudaErrorMemoryAllocation"
        with pytest.raises(OutOfMemoryError, match="CUDA failed to reserve"):
            session.run(feed(8), outputs=outputs)
        del driver.failures["cudaMalloc"], got
    assert driver.memory == {}


def test_a_plan_that_the_library_refuses_carries_its_reason(machine):
    library, _ = machine
    library.load_error = "Version tag does not match"
    with pytest.raises(EngineError, match=r"tensorrt 8.6.0 refuses the engine: Version tag does not match"):
        Session(fake_gpu.ENGINE)
    library.load_error = "getPluginCreator could not find plugin: MyOp version: 2"
    with pytest.raises(PluginMissingError, match="plugin MyOp version 2 is not registered"):
        Session(fake_gpu.ENGINE)


def test_a_failure_is_told_by_what_the_library_said_of_it_alone(machine):
    library, _ = machine
    found = []

    def work(session, ready, go):
        session.run(feed(2))
        ready.wait()
        go.wait()
        with pytest.raises(OutOfMemoryError) as caught:
            session.run(feed(2))
        found.append(caught.value.message)

    with Session(fake_gpu.ENGINE, max_contexts=1) as session:
        session.run(feed(2))
        heard_before = log.own_log()
        heard_before.errors.append("OutOfMemory while something was built")
        library.enqueue_error = "Error Code 1: kernel"
        with pytest.raises(ExecutionError, match=r"the engine did not run: Error Code 1: kernel$"):
            session.run(feed(2))
        library.enqueue_error = None
        ready, go = threading.Barrier(3), threading.Event()
        threads = [threading.Thread(target=work, args=(session, ready, go)) for _ in range(2)]
        for thread in threads:
            thread.start()
        ready.wait()
        library.enqueue_error = "OutOfMemory (Requested 8)"
        go.set()
        for thread in threads:
            thread.join()
    assert found == ["no GPU memory left to run the engine: OutOfMemory (Requested 8)"] * 2


@pytest.mark.parametrize(("num_gpus", "more"), [(1, 1), (2, 4)])
def test_threads_are_put_on_the_gpu(machine, monkeypatch, num_gpus, more):
    _, driver = machine
    monkeypatch.setattr(
        "trtforge.runtime.session.gpus", lambda: (Gpu(0, "NVIDIA H200", "9.0", 1, "580", "13.0"),) * num_gpus
    )
    with Session(fake_gpu.ENGINE) as session:
        before = driver.calls.count("cudaSetDevice")

        def work():
            for _ in range(4):
                session.run(feed(2))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert driver.calls.count("cudaSetDevice") - before == more


def test_a_manifest_of_other_tensors_is_refused(machine):
    library, driver = machine
    library.tensors = {**library.tensors, "x": ("in", "HALF", (-1, 3))}
    with pytest.raises(EngineIntegrityError, match=r"the plan's tensors are {'x': 'float16'"):
        Session(fake_gpu.ENGINE)
    library.tensors = type(library).tensors
    library.shape_inputs = ("n",)
    with pytest.raises(
        ConfigError, match=r"inputs \['n'\] decide shapes by their values, and a profile lacks"
    ):
        Session(fake_gpu.ENGINE)
    assert driver.streams == 0


def test_values_that_decide_shapes_are_read_on_the_host_and_choose_the_profile(machine):
    library, driver = machine
    library.shape_inputs = ("n",)
    x = {"x": ((2, 3), (2, 3), (2, 3))}
    profiles = tuple(
        OptimizationProfile(x, values={"n": (low, low, high)})
        for low, high in (((0, 1), (2, 3)), ((4, 4), (9, 9)))
    )
    inputs = (TensorSpec("x", "float32", (2, 3)), TensorSpec("n", "int32", (2,)))
    manifest = dataclasses.replace(fake_gpu.MANIFEST, profiles=profiles, inputs=inputs)
    with pytest.warns(RuntimeWarning, match=r"CUDA graphs are not used.*of inputs \['n'\] decide shapes"):
        session = Session(Engine(fake_gpu.PLAN, manifest), cuda_graphs=2)
    with session:
        for values in ((0, 1), (4, 5), (2, 2), (2, 2), (2, 2), (9, 9)):
            arrays = {"x": feed(2)["x"], "n": np.array(values, np.int32)}
            np.testing.assert_array_equal(session.run(arrays)["y"], expected(arrays))
        assert len(library.contexts) == 2
        assert all(context.addresses["n"] not in driver.memory for context in library.contexts)
        assert len({context.device_memory for context in library.contexts}) == 1
        assert session.counts["graph_replays"] == 0
        with pytest.raises(ProfileError) as caught:
            session.run({"x": feed(2)["x"], "n": np.array((2, 5), np.int32)})
        assert caught.value.message == (
            "the values of input 'n' are (2, 5), the engine accepts (0 to 2, 1 to 3) or (4 to 9, 4 to 9)"
        )
        on_gpu = session.to_device(np.array((0, 1), np.int32))
        with pytest.raises(InputError, match="'n' decides shapes by its values, which are read on the host"):
            session.run({"x": feed(2)["x"], "n": on_gpu})
        del on_gpu
    assert library.profiles_used == [1]


def test_faults_before_the_library_is_touched(machine, monkeypatch, tmp_path):
    with pytest.raises(NoGpuError, match="GPU 1 is needed to run an engine, and this machine has 1"):
        Session(fake_gpu.ENGINE, device=1)
    fake_gpu.ENGINE.save(tmp_path / "a.engine")
    (tmp_path / "a.engine").write_bytes(b"pla")
    with pytest.raises(EngineIntegrityError, match="is cut short: 3 bytes of 4"):
        Session(tmp_path / "a.engine")
    other = Engine(fake_gpu.PLAN, dataclasses.replace(fake_gpu.MANIFEST, library_version="8.6.1"))
    with pytest.raises(
        EngineIncompatibleError, match=r"built by tensorrt 8.6.1, this machine has tensorrt 8.6.0"
    ):
        Session(other)
    monkeypatch.setattr(artifact, "gpus", lambda: (Gpu(0, "NVIDIA L4", "8.9", 1, "580", "13.0"),))
    with pytest.raises(
        EngineIncompatibleError, match=r"runs on compute capability 9.0, this machine's NVIDIA L4 has"
    ):
        Session(fake_gpu.ENGINE)
    assert not hasattr(machine[0], "logger")


def test_plugins_are_loaded_before_the_plan_and_held_to_the_digest_of_the_build(machine, tmp_path):
    library, path = machine[0], tmp_path / "libops.so"
    path.write_bytes(b"code")
    manifest = dataclasses.replace(fake_gpu.MANIFEST, plugins_sha256={"libops.so": sha256(b"code")})
    engine = Engine(fake_gpu.PLAN, manifest)
    with Session(engine, plugins=[path]):
        assert library.plugins[-1] == str(path)
    path.write_bytes(b"other code")
    with pytest.raises(ConfigError, match=r"libops.so has SHA-256 [0-9a-f]{12}, [0-9a-f]{12} was asked for"):
        Session(engine, plugins=[path])
    with pytest.raises(ConfigError, match="plugins must be a tuple of paths, got"):
        Session(engine, plugins=str(path))
    library.load_error = "could not find plugin: Spare version: 1"
    with pytest.raises(PluginMissingError, match="plugin Spare version 1 is not registered") as caught:
        Session(engine)
    assert caught.value.settings == ("plugins",)


def test_plugins_of_the_build_are_found_by_the_environment(machine, tmp_path, monkeypatch):
    library, path, other = machine[0], tmp_path / "libfound.so", tmp_path / "libunused.so"
    for file in (path, other):
        file.write_bytes(b"code")
    engine = Engine(
        fake_gpu.PLAN, dataclasses.replace(fake_gpu.MANIFEST, plugins_sha256={"libfound.so": sha256(b"code")})
    )
    monkeypatch.setenv("TRTFORGE_PLUGINS", os.pathsep.join((str(other), str(path))))
    with Session(engine):
        assert str(path) in library.plugins
        assert str(other) not in library.plugins
    with Session(fake_gpu.ENGINE):
        assert str(other) not in library.plugins
    path.write_bytes(b"another build")
    with pytest.raises(
        ConfigError, match=r"libfound.so has SHA-256 [0-9a-f]{12}, [0-9a-f]{12} was asked for"
    ):
        Session(engine)
    monkeypatch.setenv("TRTFORGE_PLUGINS", "libfound.so")
    with pytest.raises(ConfigError, match=r"plugins wants absolute paths, got 'libfound\.so'"):
        Session(engine)


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_without_a_gpu_the_reference_is_named():
    with pytest.raises(
        NoGpuError, match=r"a GPU is needed to run an engine.*\nhint: .*OnnxRunner, which needs no"
    ):
        Session("whatever.engine")
