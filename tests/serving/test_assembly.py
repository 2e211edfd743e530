import shutil

import onnx
import pytest

from tests.bundled import MODEL
from tests.runtime.fake_gpu import ENGINE, install
from tests.serving.serving_models import DOUBLE, doubler
from trtforge.errors import (
    ConfigError,
    EngineIncompatibleError,
    EngineIntegrityError,
    ExecutionError,
)
from trtforge.nvidia import Gpu, device_memory, devices
from trtforge.nvidia.device_memory import DeviceMemory, MemoryReader
from trtforge.runtime import Bucket
from trtforge.serving import Arrays, Transcription, Worker
from trtforge.serving.assembly import assemble, load_factory, load_served
from trtforge.serving.gpu_watch import GpuWatch
from trtforge.serving.metrics import NullSink, PrometheusSink
from trtforge.serving.models import NonfiniteError
from trtforge.serving.settings import LIMITS, PipelineSettings, ServiceSettings


@pytest.fixture
def double(tmp_path):
    path = tmp_path / "double.onnx"
    onnx.save_model(DOUBLE, str(path))
    return str(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": 5}, "model must be str, got 5"),
        ({"max_batch": "8"}, "max_batch must be int, got '8'"),
        ({"max_batch": True}, "max_batch must be int, got True"),
        ({"lighter": 1}, r"lighter must be str \| None, got 1"),
        ({"degrade": [1]}, r"degrade must be Mapping, got \[1\]"),
        ({"deadline": float("inf")}, "deadline must be positive, got inf"),
        ({"max_wait": float("nan")}, "max_wait must be 0 or more, got nan"),
        ({"name": "a/b"}, "a pipeline is named by letters, digits, '_', '.' and '-', got 'a/b'"),
        ({"name": ""}, "got ''"),
        ({"surprise": 1}, "unexpected keyword argument 'surprise'"),
        ({"degrade": {"surprise": 1}}, "degrade: .* unexpected keyword argument 'surprise'"),
        ({"degrade": {"ticks": "3"}}, "degrade: '<=' not supported"),
        ({"degrade": {"tick_seconds": 0}}, "tick_seconds must be a number above 0, got 0"),
        ({"degrade": {"shed_at": 0.5}}, "thresholds must rise: calm_at 0.4, lighter_at 0.8, shed_at 0.5"),
    ],
)
def test_settings_that_are_wrong_are_told(given, message):
    with pytest.raises(ConfigError, match=message):
        ServiceSettings.from_json({"pipelines": [{"name": "a", "model": "a.onnx", **given}]})


def test_settings_that_are_none_are_told():
    for given in ({}, {"pipelines": 5}, {"pipelines": [{"name": "a"}]}, {"pipelines": ["a"]}):
        with pytest.raises(ConfigError, match="these are no settings of a service"):
            ServiceSettings.from_json(given)


def test_settings_are_plain_values_that_come_back():
    settings = ServiceSettings((PipelineSettings("a", "a.onnx", lighter="b.onnx", degrade={"ticks": 5}),))
    assert ServiceSettings.from_json(settings.to_json()) == settings


def test_connections_outnumber_the_requests_that_may_wait_so_that_probes_get_in():
    two = ServiceSettings((PipelineSettings("a", "a.onnx"), PipelineSettings("b", "b.onnx")))
    assert two.max_connections == 2 * (LIMITS.waiting + LIMITS.batch_waiting + 128)


def test_networks_of_arrays_and_their_versions_are_served(double):
    pipelines = (PipelineSettings("p", double, lighter=double, max_frames=16, max_batch=2),)
    service = assemble(ServiceSettings(pipelines).to_json(), lambda: None)
    worker = service.workers["p"]
    try:
        model = worker.models[0]
        assert model.task == Arrays("x")
        assert model.rule.buckets == (Bucket(4, 2), Bucket(8, 2), Bucket(16, 2))
        page = service._sink.page().decode()
        assert 'trtforge_info{cuda="none",driver="none",opset="17",sm="none",trt="none"} 1.0' in page
    finally:
        worker.close()


def test_models_of_one_file_name_are_told_apart(double, tmp_path):
    (tmp_path / "small").mkdir()
    lighter = str(shutil.copy(double, tmp_path / "small/double.onnx"))
    other = shutil.copy(double, tmp_path / "other.onnx")
    pipelines = (PipelineSettings("p", double, lighter), PipelineSettings("q", str(other)))
    service = assemble(ServiceSettings(pipelines).to_json(), lambda: None)
    try:
        names = {
            name: [each.name for each in worker.models.values()] for name, worker in service.workers.items()
        }
        assert names == {"p": ["double.p.full", "double.p.lighter"], "q": ["other", "other"]}
    finally:
        for worker in service.workers.values():
            worker.close()


def test_a_speech_network_takes_audio():
    settings = PipelineSettings("p", str(MODEL), num_threads=1)
    model = load_served(settings, str(MODEL), NullSink())
    assert isinstance(model.task, Transcription)
    assert model.name == "asr_en"
    model.close()


def test_an_engine_that_is_asked_for_is_counted(tmp_path, monkeypatch):
    install(monkeypatch)
    sink = PrometheusSink()
    path = tmp_path / "x.engine"
    ENGINE.save(path)
    settings = PipelineSettings("p", str(path))
    with pytest.raises(ConfigError, match=r"with one input, this one has \['x', 'n'\]"):
        load_served(settings, str(path), sink)
    path.write_bytes(b"damaged")
    with pytest.raises(EngineIntegrityError):
        load_served(settings, str(path), sink)
    monkeypatch.undo()
    ENGINE.save(path)
    with pytest.raises(EngineIncompatibleError):
        load_served(settings, str(path), sink)
    asked = {
        result: sink.registry.get_sample_value("trtforge_engine_cache_requests_total", {"result": result})
        for result in ("hit", "corrupt", "incompatible")
    }
    assert asked == {"hit": 1, "corrupt": 1, "incompatible": 1}


def test_a_factory_that_is_not_there_is_told():
    assert load_factory("trtforge.serving.assembly:assemble") is assemble
    for name in ("nothing.here:make", "trtforge.serving.assembly:nothing", "nocolon"):
        with pytest.raises(ConfigError, match=f"there is no factory '{name}'"):
            load_factory(name)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExecutionError("the engine did not run: Error Code 7: Failed Execution"), "failed_execution"),
        (ExecutionError("CUDA failed to run"), "unspecified_error"),
        (ExecutionError("Error Code 99: from the future"), "unspecified_error"),
        (NonfiniteError("NaN"), None),
    ],
)
def test_errors_are_counted_by_tensorrts_own_names(error, code):
    sink = PrometheusSink()
    worker = Worker("p", doubler(), sink=sink)
    worker._note(error)
    value = sink.registry.get_sample_value("trtforge_trt_errors_total", {"code": code or "unspecified_error"})
    assert value == (1 if code else None)
    worker.close()


class FakeNvml:
    """Plays pynvml, with a GPU that can be read, one that cannot, and one that CUDA does not see."""

    class NVMLError(Exception):
        pass

    def __init__(self):
        self.is_open = False

    def nvmlInit(self):
        self.is_open = True

    def nvmlShutdown(self):
        self.is_open = False

    def nvmlDeviceGetHandleByPciBusId(self, bus_id):
        return [b"0000:01:00.0", b"0000:02:00.0", b"0000:03:00.0"].index(bus_id)

    def nvmlDeviceGetMemoryInfo(self, handle):
        if handle == 1:
            raise self.NVMLError("lost")
        return DeviceInfo(handle)


class DeviceInfo:
    def __init__(self, handle):
        self.used, self.total = 10 + 10 * handle, 40


def test_the_memory_of_the_gpus_that_cuda_numbers_is_read_through_nvml(monkeypatch):
    nvml, sink = FakeNvml(), PrometheusSink()
    visible = ("0000:03:00.0", "0000:02:00.0")  # CUDA_VISIBLE_DEVICES=2,1
    present = tuple(Gpu(index, "NVIDIA L4", "8.9", 40, "580", "13.0") for index in range(2))
    monkeypatch.setattr(devices, "gpus", lambda: present)
    monkeypatch.setattr("trtforge.nvidia.nvml.pci_bus_id", lambda device: visible[device])
    monkeypatch.setattr(device_memory, "is_installed", lambda module: True)
    monkeypatch.setattr(device_memory, "require", lambda module, purpose: nvml)
    with MemoryReader() as reader:
        assert reader.read() == {0: DeviceMemory(30, 40)}
        watch = GpuWatch(sink, reader)
        assert (watch.share(0), watch.share(1)) == (0.75, None)
    assert not nvml.is_open
    assert sink.registry.get_sample_value("trtforge_gpu_memory_used_bytes", {"gpu": "0"}) == 30


def test_without_a_gpu_there_is_no_memory_to_tell():
    assert GpuWatch(PrometheusSink(), MemoryReader()).share(0) is None
