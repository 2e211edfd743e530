"""Count activations on a real GPU; skipped where `trtforge.nvidia` finds nothing to run with."""

from itertools import islice
from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from tests.nvidia.observed_arrays import expected, histogram, kinds
from trtforge._optional import is_installed
from trtforge.audio import ClipSet, LogMel
from trtforge.calibration import choose, collect
from trtforge.errors import MissingExtraError, OutOfMemoryError
from trtforge.feeds import Feed
from trtforge.graph import prepare, tensors_to_observe
from trtforge.model import load_model
from trtforge.nvidia import available, gpus
from trtforge.nvidia.cuda import DeviceBuffer, PinnedBuffer, Stream, copy_to_device, set_device
from trtforge.nvidia.kernels import compile_kernels
from trtforge.nvidia.magnitude_tables import Lying
from trtforge.nvidia.magnitudes import Findings, MagnitudeCounter
from trtforge.runtime import collect_on_gpu

ROOT = Path(__file__).parents[2]
NUM_CLIPS = 12


def _why_not():
    if not gpus():
        return "CUDA finds no GPU"
    missing = [
        module for module in ("cuda.bindings.runtime", "onnxruntime", "numba") if not is_installed(module)
    ]
    if missing:
        return f"{', '.join(missing)} not installed"
    try:
        compile_kernels(
            "magnitudes.cu", "sm_80", {"NUM_BINS": 4096, "BIN_BITS": 12, "COPIES": 4, "MAX_CUTS": 4}
        )
    except MissingExtraError as error:
        return error.message
    return None


pytestmark = pytest.mark.skipif(_why_not() is not None, reason=str(_why_not()))
needs_tensorrt = pytest.mark.skipif(
    not any(flavor.name == "tensorrt" for flavor in available()), reason="tensorrt is not installed"
)


@pytest.fixture
def stream():
    set_device(0)
    with Stream() as made:
        yield made


class OnGpu:
    """Arrays in GPU memory."""

    def __init__(self, stream):
        self.stream, self.buffers = stream, []

    def lying(self, array, dtype=None, parts=None, offset=0):
        device, pinned = DeviceBuffer(), PinnedBuffer()
        self.buffers += [device, pinned]
        num_bytes = array.nbytes + offset
        device.reserve(num_bytes)
        pinned.reserve(num_bytes)
        pinned.view((num_bytes,), np.dtype(np.uint8))[offset:] = (
            np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        )
        copy_to_device(device, pinned, num_bytes, self.stream)
        self.stream.synchronize()
        return Lying(
            device.address + offset, dtype or str(array.dtype), array.shape, parts or ((0, array.shape),)
        )

    def close(self):
        self.stream.synchronize()
        for buffer in self.buffers:
            buffer.close()


@pytest.fixture
def memory(stream):
    made = OnGpu(stream)
    yield made
    made.close()


def counted(stream, batches, groups=(0,)):
    """Count batches of tensors; return the histograms and what was not finite in the last batch."""
    with MagnitudeCounter(len(batches[0]), stream, device=0) as counter, Findings() as findings:
        for batch in batches:
            counter.count(batch, groups, findings)
            stream.synchronize()
        found = counter.magnitudes()
        nonfinite = findings.num_nonfinite()
    return [histogram(found, index) for index in range(len(batches[0]))], nonfinite


@pytest.mark.parametrize("kind", list(kinds()))
def test_the_kernels_count_as_the_cpu_does(kind, stream, memory):
    arrays = kinds()[kind]
    (got,), nonfinite = counted(stream, [[memory.lying(array)] for array in arrays])
    assert got == expected(arrays)
    assert not nonfinite.any()


def test_bfloat16_is_counted_exactly(stream, memory):
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    bits = bits[(bits & 0x7FFF) < 0x7F80]
    (got,), _ = counted(stream, [[memory.lying(bits, "bfloat16")]])
    assert got == expected([(bits.astype(np.uint32) << 16).view(np.float32)])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("skipped", range(8))
def test_tensors_may_begin_and_end_anywhere(dtype, skipped, stream, memory):
    array = np.random.default_rng(skipped).standard_normal(5000 - 2 * skipped).astype(dtype)
    (got,), _ = counted(stream, [[memory.lying(array, offset=skipped * array.itemsize)]])
    assert got == expected([array])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("spread", ["normal", "heavy", "equal"])
def test_millions_of_values_are_counted_exactly(dtype, spread, stream, memory):
    rng = np.random.default_rng(0)
    array = rng.standard_normal((4, 3_000_001), np.float32)
    if spread == "heavy":
        array = np.clip(array**5, -60000, 60000)
    elif spread == "equal":
        array = np.full_like(array, 0.3)
    array = array.astype(dtype)
    parts = tuple((row, (1, 3_000_001)) for row in range(4))
    batch = [memory.lying(array, parts=parts)]
    (got,), _ = counted(stream, [batch, batch], (0, 1, 2, 3))
    assert got == expected([array, array])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_padding_and_groups_that_are_not_finite_are_left_out(dtype, stream, memory):
    array = np.random.default_rng(0).standard_normal((3, 50, 400, 7)).astype(dtype)
    array[1, :, 130:] = np.nan
    parts = ((0, (1, 50, 400, 7)), (1, (1, 50, 130, 7)), (2, (1, 20, 1, 6)))
    (got,), nonfinite = counted(stream, [[memory.lying(array, parts=parts)]], (0, 1, 2))
    assert got == expected([array[0], array[1, :, :130], array[2, :20, :1, :6]])
    assert not nonfinite.any()
    array[0, 3, 3, 3], array[0, 49, 399, 6] = np.inf, np.nan
    (got,), nonfinite = counted(stream, [[memory.lying(array, parts=parts)]], (0, 0, 2))
    assert got == expected([array[2, :20, :1, :6]])
    assert nonfinite.tolist() == [[2, 0, 0, 0]]


@pytest.fixture(scope="module")
def recogniser():
    return prepare(load_model(ROOT / "examples/models/asr_en/asr_en.onnx"))


class SomeClips:
    """The first clips of the bundled set, decoded once."""

    digest = "0" * 64

    def __init__(self, model, batch_size):
        clips = ClipSet.load(ROOT / "calibration_sets/podcast_en")
        feeds = clips.feeds(LogMel.for_model(model), batch_size=batch_size)
        self.batches = list(islice(feeds, NUM_CLIPS // batch_size))

    def __len__(self):
        return NUM_CLIPS

    def __iter__(self):
        return iter(self.batches)


@needs_tensorrt
@pytest.mark.skipif(not is_installed("soundfile"), reason="soundfile is not installed")
@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_recogniser_is_counted_as_on_the_cpu(recogniser, batch_size):
    feeds, names = SomeClips(recogniser, batch_size), tensors_to_observe(recogniser)
    ours = collect_on_gpu(recogniser, feeds, names, flavor="tensorrt", optimization_level=1)
    wanted = collect(recogniser, feeds, names)
    assert (ours.num_clips, dict(ours.rejected)) == (NUM_CLIPS, {})
    assert list(ours.tensors) == list(wanted.tensors)
    for name in names:
        got, reference = ours.tensors[name], wanted.tensors[name]
        assert got.num_values == reference.num_values, name
        assert got.observed_max == pytest.approx(reference.observed_max, rel=1e-3), name
    ours_amax, wanted_amax = (choose(found, "entropy") for found in (ours, wanted))
    bins_off = {
        name: abs(ours_amax[name].amax - wanted_amax[name].amax) / (wanted_amax[name].observed_max / 2048)
        for name in names
    }
    farther = {name: round(bins, 1) for name, bins in bins_off.items() if bins > 2}
    # Where two thresholds lose nearly the same, rounding in the last place may choose between them.
    assert len(farther) <= 0.1 * len(names), f"{len(farther)} of {len(names)} farther than 2 bins: {farther}"


@needs_tensorrt
@pytest.mark.skipif(not is_installed("soundfile"), reason="soundfile is not installed")
@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_lower_precisions_come_near(recogniser, precision):
    if precision == "float16" and not any(flavor.has_precision_flags for flavor in available()):
        pytest.skip("this library computes in the types of the network")
    feeds, names = SomeClips(recogniser, 4), tensors_to_observe(recogniser)
    ours = collect_on_gpu(
        recogniser, feeds, names, flavor="tensorrt", precision=precision, optimization_level=1
    )
    wanted = collect(recogniser, feeds, names)
    for name in names:
        assert ours.tensors[name].num_values == wanted.tensors[name].num_values, name
        assert ours.tensors[name].observed_max == pytest.approx(wanted.tensors[name].observed_max, rel=0.05)


def exact_network():
    """Products with a power of two and comparisons, whose results no order of arithmetic changes."""
    return onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[batch, 4, frames] mel) => (float[batch, 4, frames] y)
        <float eighth = {0.125}>
        {
            small = Mul(mel, eighth)
            positive = Relu(small)
            y = Mul(positive, eighth)
        }"""
    )


class RandomFeeds:
    digest = "0" * 64

    def __init__(self, lengths, bad=()):
        self.lengths, self.bad = lengths, bad

    def __len__(self):
        return sum(map(len, self.lengths))

    def __iter__(self):
        rng, number = np.random.default_rng(0), 0
        for batch in self.lengths:
            mel = np.full((len(batch), 4, max(batch)), 1e9, np.float32)
            for row, frames in enumerate(batch):
                mel[row, :, :frames] = rng.standard_normal((4, frames))
                if number + row in self.bad:
                    mel[row, 1, frames // 2] = np.inf
            yield Feed({"mel": mel}, tuple(f"clip-{number + row}" for row in range(len(batch))), tuple(batch))
            number += len(batch)


NAMES = ("mel", "small", "positive")


@needs_tensorrt
def test_padding_joins_and_cuts_change_no_count():
    feeds = RandomFeeds([[300, 128], [200], [200], [200], [512, 1, 77, 512], [64] * 20, [3]])
    for settings in ({}, {"max_batch": 4}, {"activation_bytes": 3 * 4 * 4 * 512 * 2}):
        ours = collect_on_gpu(exact_network(), feeds, NAMES, flavor="tensorrt", **settings)
        assert ours == collect(exact_network(), feeds, NAMES)


@needs_tensorrt
def test_batches_that_are_not_finite_are_refused_whole():
    feeds = RandomFeeds([[30, 12], [20, 20], [20, 20], [40], [8, 8]], bad=(3, 6))
    ours = collect_on_gpu(exact_network(), feeds, NAMES, flavor="tensorrt", max_nonfinite_share=0.5)
    assert ours == collect(exact_network(), feeds, NAMES, max_nonfinite_share=0.5)
    assert ours.rejected["clip-2"] == "in one batch with clip 'clip-3', which was refused"
    assert (
        ours.rejected["clip-3"]
        == "the feed itself holds NaN or infinity: 1 of 80 values of input 'mel' are not finite"
    )


@needs_tensorrt
def test_one_clip_beyond_the_memory_is_refused_at_once():
    with pytest.raises(OutOfMemoryError, match=r"3 observed tensors of one clip take .* are allowed"):
        collect_on_gpu(exact_network(), RandomFeeds([[512]]), NAMES, flavor="tensorrt", activation_bytes=1000)
