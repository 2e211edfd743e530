import ctypes
import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from benchmarks.bench_device_collection import (
    NoiseWindows,
    check_counts,
    main,
    observed_tensors,
    summary,
)
from benchmarks.networks.whisper_encoder import EncoderShape, whisper_encoder
from tests.nvidia import host_kernels
from tests.runtime import fake_gpu
from trtforge._ort import make_session
from trtforge.calibration import Observer
from trtforge.errors import CalibrationError
from trtforge.nvidia import gpus
from trtforge.nvidia.building import BuiltPlan
from trtforge.runtime import device_collection
from trtforge.runtime.collection_plan import plan_collection


def test_observed_tensors_are_those_of_a_wider_network_without_attention_products():
    shape = EncoderShape(num_layers=2, width=160, num_heads=10, mel_bins=128)
    names, model = observed_tensors(shape), whisper_encoder(shape)
    made = {"mel"} | {name for node in model.graph.node for name in node.output}
    assert set(names) <= made
    assert not any(name.endswith(("shares", "scores", "query.scaled")) for name in names)
    # Two convolutions; per layer the inputs of query, key and value, of out, of fc1 and of fc2.
    assert len(names) == 2 + 2 * 4


def test_windows_run_in_a_network_of_the_shape():
    shape = EncoderShape(num_layers=2, width=64, num_heads=4, mel_bins=128)
    feeds = list(NoiseWindows(3, 2, 128))
    assert [len(feed.clip_ids) for feed in feeds] == [2, 1]
    encoded = make_session(whisper_encoder(shape), purpose="test").run(None, dict(feeds[1].arrays))[0]
    assert encoded.shape == (1, 1500, 64)
    assert np.isfinite(encoded).all()


def test_windows_are_planned_as_whole_batches_that_may_be_cut():
    shape = EncoderShape(num_layers=1, width=64, num_heads=4, mel_bins=128)
    model, names = whisper_encoder(shape), observed_tensors(shape)
    windows = NoiseWindows(8, 4, 128)
    plan = plan_collection(model, windows, names, max_batch=4, activation_bytes=10**9)
    assert (plan.max_rows, plan.is_separable) == (4, True)
    (profile,) = plan.profiles
    assert str(profile.shapes["mel"]) == "(1 to 4, 128, 3000)"
    # mel, conv1.gelu, and per layer three rows of the width and one of four times as much.
    row_bytes = 4 * (3000 * 128 + 3000 * 64 + 1500 * 64 * 7)
    cut = plan_collection(model, windows, names, max_batch=4, activation_bytes=3 * row_bytes)
    assert cut.max_rows == 3


def test_times_are_compared_round_by_round():
    rounds = [
        {"contender": contender, "wall_s": wall, "device_s": wall / 2}
        for contender, wall in (
            ("inference", 1.0),
            ("calibration", 1.5),
            ("inference", 2.0),
            ("calibration", 4.5),
        )
    ]
    found = summary(rounds)
    assert (found["inference_wall_s"], found["calibration_device_s"]) == (3.0, 3.0)
    assert (found["wall_ratio"], found["wall_ratio_least"], found["wall_ratio_most"]) == (2.0, 1.5, 2.25)


def test_counts_are_checked():
    observer = Observer()
    observer.observe(np.ones(12, np.float32))
    collector = SimpleNamespace(histograms=lambda: {"x": observer.histogram()})
    assert check_counts(collector, 4, ["x"]) == 3
    with pytest.raises(CalibrationError, match="tensor 'x' has 12 values in 5 windows"):
        check_counts(collector, 5, ["x"])


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert main(["--layers", "1"]) == 1
    assert "NoGpuError: a GPU is needed to calibrate on" in capsys.readouterr().err


class Context(fake_gpu.FakeContext):
    """ONNX Runtime plays TensorRT."""

    def __init__(self, library, model):
        super().__init__(library)
        played = onnx.ModelProto()
        played.CopyFrom(model)
        outputs = [name for name in library.tensors if name not in ("mel", "encoded")]
        played.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        self.session, self.outputs = make_session(played, purpose="test"), ("encoded", *outputs)

    def infer_shapes(self):
        given = {"mel": np.zeros(self.shapes["mel"], np.float32)}
        self.given = dict(zip(self.outputs, self.session.run(self.outputs, given), strict=True))
        return []

    def get_tensor_shape(self, name):
        return self.given[name].shape

    def execute_async_v3(self, stream):
        shape = self.shapes["mel"]
        block = (ctypes.c_byte * int(4 * np.prod(shape))).from_address(self.addresses["mel"])
        given = {"mel": np.frombuffer(block, np.float32).reshape(shape)}
        for name, array in zip(self.outputs, self.session.run(self.outputs, given), strict=True):
            array = np.ascontiguousarray(array)
            ctypes.memmove(self.addresses[name], array.ctypes.data, array.nbytes)
        return True


@pytest.mark.skipif(host_kernels.COMPILER is None, reason="g++ is not installed")
def test_the_whole_benchmark_runs_on_a_gpu_made_of_python(monkeypatch, tmp_path, capsys):
    host_kernels.install(monkeypatch, tmp_path)
    library, driver = fake_gpu.install(monkeypatch)
    driver.cudaEventElapsedTime = lambda start, end: (SimpleNamespace(name="cudaSuccess"), 2.0)
    requests = []

    def build(flavor, request):
        requests.append(request)
        return BuiltPlan(str(len(requests) - 1).encode(), (), (), None, (), None)

    def load(plan):
        request = requests[int(plan)]
        library.tensors = {
            "mel": ("in", "FLOAT", (-1, 128, 3000)),
            "encoded": ("out", "FLOAT", (-1, 1500, 64)),
        }
        library.tensors |= dict.fromkeys(request.observed, ("out", "FLOAT", (-1,)))
        library.num_io_tensors = len(library.tensors)
        library.create_execution_context = lambda: Context(library, request.model)
        return library

    library.deserialize_cuda_engine = load
    monkeypatch.setattr(device_collection, "build_plan", build)
    monkeypatch.setattr("benchmarks.bench_device_collection.select", lambda name: fake_gpu.V8("8.6.0"))
    output = tmp_path / "result.json"
    words = "--windows 4 --rounds 2 --batch 2 --layers 1 --width 64 --heads 4 --precisions float16"
    assert main([*words.split(), "--output", str(output)]) == 0, capsys.readouterr().err
    result = json.loads(output.read_text())
    (row,) = result["rows"]
    assert row["values_per_window"] == 3000 * 128 + 3000 * 64 + 1500 * 64 * 7
    assert (row["num_tensors"], row["batch"], row["device_ratio"]) == (6, 2, 1.0)
    assert [found["contender"] for found in result["rounds"]] == ["inference", "calibration"] * 2
    assert [request.observed == () for request in requests] == [True, False]
    assert {request.precision for request in requests} == {"float16"}

    plan = tmp_path / "observed.plan"
    assert main([*words.split(), "--write-plan", str(plan)]) == 0
    assert plan.read_bytes() == b"2"
    capsys.readouterr()
    assert main([*words.split(), "--build-on", "7"]) == 1  # where the other process has no GPU
    assert "BuildError: the build on GPU 7 ended with status 1" in capsys.readouterr().err
