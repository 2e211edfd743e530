import ctypes

import numpy as np
import pytest

from tests.nvidia.test_tensor_names import FakeNetwork
from tests.nvidia.vendor_surface import FLAVORS, has, surface
from tests.runtime.fake_gpu import FakeCuda
from trtforge.errors import BuildError, CalibrationError, ConfigError, InputError, OutOfMemoryError
from trtforge.nvidia import cuda
from trtforge.nvidia.calibrators import _CLASSES, Calibration, CalibrationRequest

NETWORK = FakeNetwork(["x", "n"], [])
DTYPES = {"x": "float32", "n": "int32"}


class FakeTrt:
    class IInt8EntropyCalibrator2:
        pass

    class IInt8MinMaxCalibrator:
        pass


@pytest.fixture
def driver(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(cuda, "runtime_api", lambda: fake)
    return fake


def batch(value):
    return {"x": np.full((2, 3), value, np.float32), "n": np.array([value, value], np.int64)}


def calibration(batches, **settings):
    shapes = {"x": (2, 3), "n": (2,)}
    request = CalibrationRequest("entropy", batches=batches, shapes=shapes, **settings)
    return Calibration(FakeTrt, NETWORK, request, DTYPES)


def at(address, dtype, count):
    size = np.dtype(dtype).itemsize * count
    return np.frombuffer((ctypes.c_byte * size).from_address(address), dtype).tolist()


def test_batches_arrive_on_the_device_in_the_order_of_the_names(driver):
    with calibration(iter([batch(1), batch(2)])) as work:
        calibrator = work.calibrator
        assert isinstance(calibrator, FakeTrt.IInt8EntropyCalibrator2)
        assert calibrator.read_calibration_cache() is None
        assert calibrator.get_batch_size() == 2
        n, x = calibrator.get_batch(["n", "x"])
        assert at(n, np.int32, 2) == [1, 1]
        assert at(x, np.float32, 6) == [1.0] * 6
        assert calibrator.get_batch(["n", "x"]) == [n, x]
        assert at(x, np.float32, 6) == [2.0] * 6
        assert calibrator.get_batch(["n", "x"]) is None
        calibrator.write_calibration_cache(memoryview(b"TRT-"))
        work.check()
    assert (work.num_batches, work.written) == (2, b"TRT-")
    assert (len(driver.memory), driver.streams) == (0, 0)


@pytest.mark.parametrize(
    "failure", [ValueError("clip 7 is broken"), KeyboardInterrupt(), CalibrationError("not finite")]
)
def test_an_exception_in_a_batch_is_that_exception_after_the_build(driver, failure):
    def batches():
        yield batch(1)
        raise failure

    with calibration(batches()) as work:
        assert work.calibrator.get_batch(["x", "n"]) is not None
        # The library hears that there is no more, whatever else it then does.
        assert work.calibrator.get_batch(["x", "n"]) is None
        assert work.calibrator.get_batch(["x", "n"]) is None
        work.calibrator.write_calibration_cache(b"a cache of too little data")
    with pytest.raises(type(failure)) as caught:
        work.check()
    assert caught.value is failure
    assert (len(driver.memory), driver.streams) == (0, 0)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"x": batch(1)["x"]}, InputError, r"a batch lacks the input 'n'; it has \['x'\]"),
        (batch(1) | {"x": np.zeros((2, 3))}, InputError, "gives 'x' as float64, the network takes float32"),
        (batch(1) | {"n": np.array([1 << 40, 0])}, InputError, "gives 'n' as int64, the network takes int32"),
    ],
)
def test_a_batch_that_does_not_fit_is_an_error_and_not_the_end(driver, bad, error, message):
    with calibration([bad]) as work:
        assert work.calibrator.get_batch(["x", "n"]) is None
    with pytest.raises(error, match=message):
        work.check()


def test_no_batch_at_all_is_an_error(driver):
    with calibration([]) as work:
        assert work.calibrator.get_batch(["x", "n"]) is None
    with pytest.raises(CalibrationError, match="at least one batch, the feeds gave none"):
        work.check()


def test_a_gpu_without_memory_is_said_to_be_so(driver):
    driver.failures["cudaMalloc"] = "cudaErrorMemoryAllocation"
    with calibration([batch(1)]) as work:
        assert work.calibrator.get_batch(["x", "n"]) is None
    with pytest.raises(OutOfMemoryError, match="reserve 24 bytes of pinned memory"):
        work.check()


def test_a_cache_is_answered_with_and_no_batch_is_ever_given(driver):
    seen = {}

    def cache(naming):
        seen.update(naming({"x"}))
        return b"the cache"

    request = CalibrationRequest("minmax", cache=cache)
    with Calibration(FakeTrt, NETWORK, request, DTYPES) as work:
        assert isinstance(work.calibrator, FakeTrt.IInt8MinMaxCalibrator)
        assert work.calibrator.read_calibration_cache() == b"the cache"
        work.check()
        assert work.calibrator.get_batch(["x", "n"]) is None
    assert seen == {"x": "x", "n": "n"}
    with pytest.raises(BuildError, match="did not take the calibration cache and asked for data"):
        work.check()
    assert driver.calls == []


def test_a_request_names_one_source():
    for sources in ({}, {"cache": lambda naming: b"", "batches": []}):
        with pytest.raises(ConfigError, match="either a cache or batches"):
            CalibrationRequest("entropy", **sources)
    with pytest.raises(ConfigError, match="calibrator must be one of entropy, minmax, got 'legacy'"):
        CalibrationRequest("legacy", batches=[])


@pytest.mark.parametrize("flavor", [f for f in FLAVORS if f.has_calibrators], ids=str)
def test_the_calibrators_are_those_of_the_real_bindings(flavor):
    names = surface(flavor)
    called_back = ("get_batch", "get_batch_size", "read_calibration_cache", "write_calibration_cache")
    assert all(has(names, kind, method) for kind in _CLASSES.values() for method in called_back)
    assert has(names, "LayerType", "SHUFFLE")
