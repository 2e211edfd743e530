"""The counting kernels' arithmetic, run on the CPU; tests/gpu/ runs them on a GPU."""

import numpy as np
import pytest

from tests.nvidia import host_kernels
from tests.nvidia.observed_arrays import expected, histogram, kinds
from tests.runtime.fake_gpu import FakeCuda
from trtforge.calibration import histogram as cpu_histogram
from trtforge.nvidia import cuda, magnitudes
from trtforge.nvidia.magnitude_tables import Lying
from trtforge.nvidia.magnitudes import Findings, MagnitudeCounter

needs_compiler = pytest.mark.skipif(host_kernels.COMPILER is None, reason="g++ is not installed")


@pytest.fixture
def stream(monkeypatch, tmp_path):
    host_kernels.install(monkeypatch, tmp_path)
    driver = FakeCuda()
    monkeypatch.setattr(cuda, "runtime_api", lambda: driver)
    with cuda.Stream() as made:
        yield made


def whole(array, dtype=None):
    return Lying(array.ctypes.data, dtype or str(array.dtype), array.shape, ((0, array.shape),))


def count(counter, batches, groups=(0,)):
    with Findings() as findings:
        for batch in batches:
            counter.count(batch, groups, findings)
        return findings.num_nonfinite()


def test_the_bins_are_those_of_the_cpu():
    assert magnitudes.NUM_BINS == cpu_histogram.NUM_BINS
    assert magnitudes._EMPTY_EXPONENT == cpu_histogram.MIN_EXPONENT


@needs_compiler
@pytest.mark.parametrize("kind", list(kinds()))
def test_counts_are_those_of_the_cpu(kind, stream):
    arrays = kinds()[kind]
    with MagnitudeCounter(1, stream, device=0) as counter:
        assert not count(counter, [[whole(array)] for array in arrays]).any()
        assert histogram(counter.magnitudes(), 0) == expected(arrays)


@needs_compiler
def test_bfloat16_is_read_exactly(stream):
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    bits = bits[(bits & 0x7FFF) < 0x7F80]
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    with MagnitudeCounter(1, stream, device=0) as counter:
        count(counter, [[whole(bits, "bfloat16")]])
        assert histogram(counter.magnitudes(), 0) == expected([values])


@needs_compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("offset", range(1, 8, 3))
def test_tensors_may_begin_and_end_anywhere(dtype, offset, stream):
    array = np.random.default_rng(offset).standard_normal(1000).astype(dtype)
    part = array[offset : -offset - 2]
    rows = array[: 3 * 331].reshape(3, 331)
    lying = Lying(rows.ctypes.data, str(rows.dtype), rows.shape, tuple((row, (1, 331)) for row in range(3)))
    with MagnitudeCounter(2, stream, device=0) as counter:
        count(
            counter,
            [[Lying(part.ctypes.data, str(part.dtype), part.shape, ((None, part.shape),)), lying]],
            (0, 0, 0),
        )
        found = counter.magnitudes()
    assert histogram(found, 0) == expected([part])
    assert histogram(found, 1) == expected([rows])


@needs_compiler
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_padding_is_left_out(dtype, stream):
    array = np.random.default_rng(0).standard_normal((3, 5, 40, 7)).astype(dtype)
    parts = ((0, (1, 5, 40, 7)), (1, (1, 5, 13, 7)), (2, (1, 2, 1, 6)))
    array[1, :, 13:] = np.nan
    with MagnitudeCounter(1, stream, device=0) as counter:
        lying = Lying(array.ctypes.data, str(array.dtype), array.shape, parts)
        assert not count(counter, [[lying]], (0, 1, 2)).any()
        wanted = [array[0], array[1, :, :13], array[2, :2, :1, :6]]
        assert histogram(counter.magnitudes(), 0) == expected(wanted)


@needs_compiler
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_group_that_is_not_finite_counts_nowhere(bad, dtype, stream):
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((4, 100)).astype(dtype) for _ in range(2))
    second[2, [3, 98]] = bad
    shared = rng.standard_normal(10).astype(dtype)
    parts = tuple((row, (1, 100)) for row in range(4))
    batch = [
        *(Lying(array.ctypes.data, str(array.dtype), array.shape, parts) for array in (first, second)),
        Lying(shared.ctypes.data, str(shared.dtype), shared.shape, ((None, shared.shape),)),
    ]
    with MagnitudeCounter(3, stream, device=0) as counter:
        nonfinite = count(counter, [batch], (0, 0, 2, 2))
        found = counter.magnitudes()
    assert nonfinite.tolist() == [[0] * 5, [0, 0, 2, 0, 0], [0] * 5]
    assert histogram(found, 0) == expected([first[:2]])
    assert histogram(found, 1) == expected([second[:2]])
    # What belongs to every clip of a batch is counted with all of them or not at all.
    assert histogram(found, 2) == expected([])


@needs_compiler
def test_a_shared_tensor_that_is_not_finite_refuses_all(stream):
    rows, shared = np.ones((2, 8), np.float32), np.array([1, np.inf], np.float32)
    batch = [
        Lying(rows.ctypes.data, "float32", rows.shape, ((0, (1, 8)), (1, (1, 8)))),
        Lying(shared.ctypes.data, "float32", shared.shape, ((None, shared.shape),)),
    ]
    with MagnitudeCounter(2, stream, device=0) as counter:
        assert count(counter, [batch], (0, 1)).tolist() == [[0, 0, 0], [0, 0, 1]]
        found = counter.magnitudes()
    assert histogram(found, 0) == histogram(found, 1) == expected([])


@needs_compiler
def test_large_tensors_are_counted_in_pieces(stream):
    array = np.random.default_rng(0).standard_normal((2, 1_100_003)).astype(np.float32)
    lying = Lying(array.ctypes.data, "float32", array.shape, ((0, (1, 1_100_003)), (1, (1, 1_000_000))))
    with MagnitudeCounter(1, stream, device=0) as counter:
        count(counter, [[lying]] * 2, (0, 0))
        assert histogram(counter.magnitudes(), 0) == expected([array[0], array[1, :1_000_000]] * 2)
