"""Collection on a GPU made of Python: ONNX Runtime plays TensorRT, and the kernels run as C++."""

import ctypes
from types import SimpleNamespace

import numpy as np
import onnx.parser
import pytest

from tests.nvidia import host_kernels
from tests.runtime import fake_gpu
from trtforge._ort import make_session
from trtforge.calibration import collect
from trtforge.calibration.padding import Part
from trtforge.errors import CalibrationError, ConfigError, NoGpuError, OutOfMemoryError
from trtforge.feeds import ArrayFeeds, Feed
from trtforge.nvidia import gpus
from trtforge.nvidia.building import BuiltPlan
from trtforge.runtime import collect_on_gpu, device_collection, device_collector

NAMES = ("mel", "doubled", "mixed", "table")
needs_compiler = pytest.mark.skipif(host_kernels.COMPILER is None, reason="g++ is not installed")


def network():
    return onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[batch, 2, frames] mel) => (float[batch, 2, frames] y)
        <float two = {2.0}, float[3] base = {1.0, 2.0, 3.0}, int64[1] axis = {0}>
        {
            doubled = Mul(mel, two)
            table = Mul(base, two)
            total = ReduceMax<keepdims = 0>(table)
            mixed = Mul(doubled, total)
            y = Relu(mixed)
        }"""
    )


class Feeds:
    """Batches of random clips, padded with what must not be counted."""

    digest = "0" * 64

    def __init__(self, lengths, *, bad=(), scale=1.0, names_clips=True):
        self.lengths, self.bad, self.scale, self.names_clips = lengths, bad, scale, names_clips

    def __len__(self):
        return sum(map(len, self.lengths))

    def __iter__(self):
        rng = np.random.default_rng(0)
        number = 0
        for batch in self.lengths:
            mel = np.full((len(batch), 2, max(batch)), 1e9, np.float32)
            ids = tuple(f"clip-{number + row}" for row in range(len(batch)))
            for row, frames in enumerate(batch):
                mel[row, :, :frames] = self.scale * rng.standard_normal((2, frames))
                if ids[row] in self.bad:
                    mel[row, 1, frames - 1] = np.nan
            number += len(batch)
            yield Feed({"mel": mel}, ids if self.names_clips else (), tuple(batch))


class Context(fake_gpu.FakeContext):
    def __init__(self, library, model):
        super().__init__(library)
        observed = onnx.ModelProto()
        observed.CopyFrom(model)
        observed.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in library.tensors if name not in ("mel", "y")
        )
        self.session = make_session(observed, purpose="test")
        self.rows = []

    def get_tensor_shape(self, name):
        rows, bands, frames = self.shapes["mel"]
        return (3,) if name == "table" else (rows, bands, frames)

    def execute_async_v3(self, stream):
        shape = self.shapes["mel"]
        self.rows.append(shape[0])
        block = (ctypes.c_byte * int(4 * np.prod(shape))).from_address(self.addresses["mel"])
        given = {"mel": np.frombuffer(block, np.float32).reshape(shape)}
        names = [value.name for value in self.session.get_outputs()]
        for name, array in zip(names, self.session.run(names, given), strict=True):
            array = np.ascontiguousarray(array)
            ctypes.memmove(self.addresses[name], array.ctypes.data, array.nbytes)
        return True


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """The fakes of driver and library, and the context that ran last."""
    host_kernels.install(monkeypatch, tmp_path)
    library, driver = fake_gpu.install(monkeypatch)
    found = SimpleNamespace(library=library, driver=driver, requests=[], contexts=[])

    def build(flavor, request):
        library.tensors = {"mel": ("in", "FLOAT", (-1, 2, -1)), "y": ("out", "FLOAT", (-1, 2, -1))}
        library.tensors |= dict.fromkeys(request.observed, ("out", "FLOAT", (-1,)))
        library.num_io_tensors = len(library.tensors)
        found.requests.append(request)
        return BuiltPlan(b"plan", (), (), None, (), None)

    def context():
        found.contexts.append(Context(library, found.requests[-1].model))
        return found.contexts[-1]

    library.create_execution_context = context
    monkeypatch.setattr(device_collection, "build_plan", build)
    monkeypatch.setattr(device_collection, "select", lambda name: fake_gpu.V8("8.6.0"))
    return found


def check_equal(model, feeds, names, **settings):
    ours, wanted = collect_on_gpu(model, feeds, names, **settings), collect(model, feeds, names)
    assert dict(ours.tensors) == dict(wanted.tensors)
    assert ours == wanted
    return ours


@needs_compiler
@pytest.mark.parametrize("names_clips", [True, False])
def test_counts_are_those_of_the_cpu(gpu, names_clips):
    feeds = Feeds([[9, 4], [7], [7], [30, 1, 17], [2]], scale=100, names_clips=names_clips)
    check_equal(network(), feeds, NAMES)
    (request,) = gpu.requests
    assert request.observed == ("doubled", "mixed", "table")
    assert request.options["tf32"] is False
    assert request.profiles[0]["mel"] == ((1, 2, 2), (16, 2, 30), (16, 2, 30))
    assert gpu.driver.memory == {}
    assert gpu.driver.streams == 0


@needs_compiler
def test_batches_with_values_that_are_not_finite_are_refused_whole(gpu):
    feeds = Feeds([[9, 4], [7, 7], [7, 7], [3], [8, 8]], bad=("clip-3", "clip-6"))
    ours = collect_on_gpu(network(), feeds, ("mel", "mixed"), max_nonfinite_share=0.5)
    assert ours == collect(network(), feeds, ("mel", "mixed"), max_nonfinite_share=0.5)
    assert ours.num_clips == 6
    assert ours.rejected == {
        "clip-2": "in one batch with clip 'clip-3', which was refused",
        "clip-3": "the feed itself holds NaN or infinity: 1 of 14 values of input 'mel' are not finite",
        "clip-6": "the feed itself holds NaN or infinity: 1 of 6 values of input 'mel' are not finite",
    }


@needs_compiler
def test_too_many_refused_clips_are_an_error(gpu):
    with pytest.raises(CalibrationError, match="1 of 3 clips gave non-finite activations"):
        collect_on_gpu(network(), Feeds([[9], [4], [7]], bad=("clip-1",)), ["mixed"])
    assert gpu.driver.memory == {}


@needs_compiler
def test_neighbours_of_one_shape_run_together(gpu):
    feeds = Feeds([[7]] * 5 + [[9]] * 2 + [[7]])
    seen = []
    check_equal(network(), feeds, ("mixed",), max_batch=3, on_progress=lambda *at: seen.append(at))
    assert gpu.contexts[0].rows == [3, 2, 2, 1]
    assert seen == [(count, 8) for count in range(1, 9)]


@needs_compiler
def test_a_tensor_that_belongs_to_every_clip_keeps_feeds_apart(gpu):
    check_equal(network(), Feeds([[7]] * 3), ("mixed", "table"))
    assert gpu.contexts[0].rows == [1, 1, 1]


@needs_compiler
def test_large_feeds_are_cut_to_the_memory(gpu):
    # One clip of 10 frames observes 2 x 2 x 10 values of 4 bytes.
    check_equal(network(), Feeds([[10] * 5]), ("doubled", "mixed"), activation_bytes=2 * 160 + 1)
    assert gpu.contexts[0].rows == [2, 2, 1]
    with pytest.raises(OutOfMemoryError, match="2 observed tensors of one clip take 160 B of GPU memory"):
        collect_on_gpu(network(), Feeds([[10] * 5]), ("doubled", "mixed"), activation_bytes=159)


@needs_compiler
def test_a_batch_that_does_not_fit_is_halved(gpu, monkeypatch):
    allocate = gpu.driver.cudaMalloc

    def limited(size):
        # Room for an output of four clips.
        return (SimpleNamespace(name="cudaErrorMemoryAllocation"), 0) if 320 < size < 4000 else allocate(size)

    monkeypatch.setattr(gpu.driver, "cudaMalloc", limited)
    check_equal(network(), Feeds([[10] * 5, [10] * 4]), ("mixed",))
    assert max(gpu.contexts[0].rows) <= 4
    assert sum(gpu.contexts[0].rows) == 9
    assert gpu.driver.memory == {}


@needs_compiler
def test_arrays_serve_as_feeds(gpu):
    rng = np.random.default_rng(0)
    arrays = [{"mel": rng.standard_normal((4, 2, 6)).astype(np.float32)} for _ in range(3)]
    check_equal(network(), ArrayFeeds(arrays), ("doubled", "mixed"))
    assert gpu.contexts[0].rows == [12]


def test_clips_on_another_axis_than_the_first_are_refused():
    values = np.zeros((9, 1, 4), np.float32)
    parts = [Part(0, values, 1), Part(1, values[:4], 1)]
    with pytest.raises(CalibrationError, match="'steps' has the clips of a batch on axis 1; the GPU counts"):
        device_collector.shares("steps", parts)
    assert device_collector.shares("steps", parts[:1]) == ((0, (9, 1, 4)),)


def test_settings_are_checked_first():
    with pytest.raises(
        ConfigError, match="precision must be one of 'float32', 'tf32', 'float16', got 'int8'"
    ):
        collect_on_gpu(network(), Feeds([[3]]), ["mixed"], precision="int8")
    with pytest.raises(ConfigError, match="max_batch must be at least 1, got 0"):
        collect_on_gpu(network(), Feeds([[3]]), ["mixed"], max_batch=0)


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(NoGpuError, match="a GPU is needed to calibrate on, and CUDA finds none here"):
        collect_on_gpu(network(), Feeds([[3]]), ["mixed"])
