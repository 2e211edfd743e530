"""A GPU, a driver and a TensorRT made of Python, to drive a session through every kind of failure."""

from __future__ import annotations

import ctypes
import threading
import weakref
from types import SimpleNamespace

import numpy as np

from trtforge._files import sha256
from trtforge.engine import Engine, Manifest, artifact
from trtforge.model import TensorSpec
from trtforge.nvidia import cuda
from trtforge.nvidia.devices import Gpu
from trtforge.nvidia.v8 import V8
from trtforge.profiles import OptimizationProfile

PLAN = b"plan"
MANIFEST = Manifest(
    library="tensorrt",
    library_version="8.6.0",
    compute_capabilities=("9.0",),
    gpu="NVIDIA H200",
    driver="580",
    system=artifact.system_name(),
    precision="float32",
    options={},
    profiles=(
        OptimizationProfile({"x": ((1, 3), (1, 3), (2, 3)), "n": ((1,), (1,), (2,))}),
        OptimizationProfile({"x": ((4, 3), (4, 3), (8, 3)), "n": ((4,), (4,), (8,))}),
    ),
    inputs=(TensorSpec("x", "float32", ("batch", 3)), TensorSpec("n", "int32", ("batch",))),
    outputs=(TensorSpec("y", "float32", ("batch", 3)),),
    layer_precisions=None,
    onnx_sha256="a" * 64,
    scales_sha256=None,
    build_seconds=1.0,
    trtforge_version="0.1.0",
    plan_sha256=sha256(PLAN),
    plan_bytes=len(PLAN),
)
ENGINE = Engine(PLAN, MANIFEST)


class FakeCuda:
    """Plays ``cuda.bindings.runtime``: device memory is host memory, and streams are in order."""

    def __init__(self):
        self.cudaStreamNonBlocking = 1
        self.cudaEventDisableTiming = 2
        self.cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
        self.cudaMemoryType = SimpleNamespace(cudaMemoryTypeDevice=2, cudaMemoryTypeManaged=3)
        self.cudaMemcpyKind = SimpleNamespace(
            cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDeviceToDevice=3
        )
        self.cudaMallocHost, self.cudaFreeHost = self.cudaMalloc, self.cudaFree
        self.failures = {}
        self.memory = {}
        self.streams = 0
        self.calls = []
        self.waits = []
        self.graphs = {}
        self.recording = threading.local()
        self.device_of = {}

    def _result(self, function, *values):
        self.calls.append(function)
        if len(self.calls) > 10_000:
            del self.calls[:5_000]
        return (SimpleNamespace(name=self.failures.get(function, "cudaSuccess")), *values)

    def cudaSetDevice(self, device):
        return self._result("cudaSetDevice")

    def cudaGetLastError(self):
        return self._result("cudaGetLastError")

    def cudaStreamCreateWithFlags(self, flags):
        self.streams += 1
        return self._result("cudaStreamCreateWithFlags", 6 + self.streams)

    def cudaStreamDestroy(self, stream):
        self.streams -= 1
        return self._result("cudaStreamDestroy")

    def cudaStreamSynchronize(self, stream):
        return self._result("cudaStreamSynchronize")

    def cudaStreamWaitEvent(self, stream, event, flags):
        return self._result("cudaStreamWaitEvent")

    def cudaEventCreateWithFlags(self, flags):
        return self._result("cudaEventCreateWithFlags", 11)

    def cudaStreamBeginCapture(self, stream, mode):
        self.recording.work = []
        return self._result("cudaStreamBeginCapture")

    def cudaStreamEndCapture(self, stream):
        work, self.recording.work = self.recording.work, None
        return self._result("cudaStreamEndCapture", work)

    def cudaGraphInstantiate(self, graph, flags):
        key = object()
        self.graphs[key] = graph
        return self._result("cudaGraphInstantiate", key)

    def cudaGraphDestroy(self, graph):
        return self._result("cudaGraphDestroy")

    def cudaGraphLaunch(self, graph, stream):
        for work in self.graphs[graph]:
            work()
        return self._result("cudaGraphLaunch")

    def cudaGraphExecDestroy(self, graph):
        del self.graphs[graph]
        return self._result("cudaGraphExecDestroy")

    def cudaPointerGetAttributes(self, address):
        kind, device = (2, self.device_of[address]) if address in self.device_of else (0, -1)
        return self._result("cudaPointerGetAttributes", SimpleNamespace(type=kind, device=device))

    def cudaEventCreate(self):
        return self._result("cudaEventCreate", 9)

    def cudaEventDestroy(self, event):
        return self._result("cudaEventDestroy")

    def cudaEventRecord(self, event, stream):
        self.waits.append(stream)
        return self._result("cudaEventRecord")

    def cudaEventSynchronize(self, event):
        return self._result("cudaEventSynchronize")

    def cudaEventElapsedTime(self, start, end):
        return self._result("cudaEventElapsedTime", 1.5)

    def cudaMemGetInfo(self):
        return self._result("cudaMemGetInfo", 1 << 30, 1 << 31)

    def cudaMemsetAsync(self, target, value, size, stream):
        ctypes.memset(target, value, size)
        return self._result("cudaMemsetAsync")

    def cudaMalloc(self, size):
        block = ctypes.create_string_buffer(size + 256)
        address = -(-ctypes.addressof(block) // 256) * 256
        if "cudaMalloc" not in self.failures:
            self.memory[address] = block
        return self._result("cudaMalloc", address)

    def cudaFree(self, address):
        del self.memory[address]
        return self._result("cudaFree")

    def cudaMemcpy(self, target, source, size, kind):
        ctypes.memmove(target, source, size)
        return self._result("cudaMemcpy")

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        ctypes.memmove(target, source, size)
        return self._result("cudaMemcpyAsync")


class FakeContext:
    """Computes y = 2 x + n, over as many rows as ``library.rows`` says where that depends on the data."""

    def __init__(self, library, *, owns_memory=False):
        self.owns_memory = owns_memory
        self.library, self.shapes, self.addresses = library, {}, {}
        self.active_optimization_profile = 0 if library.shares_profiles or not library.contexts else -1
        self.profile = self.active_optimization_profile
        self.device_memory = None
        self.allocators, self.profiler = {}, None
        library.contexts.add(self)
        library.num_made += 1

    def set_optimization_profile_async(self, index, stream):
        if not self.library.shares_profiles and index in [each.profile for each in self.library.contexts]:
            self.library.logger.log("ERROR", f"Profile {index} has been chosen by another context")
            return False
        self.profile = index
        self.library.profiles_used.append(index)
        return True

    def set_input_shape(self, name, shape):
        self.shapes[name] = shape
        return True

    def infer_shapes(self):
        return []

    def get_tensor_shape(self, name):
        return (-1, 3) if self.library.data_dependent else self.shapes["x"]

    def get_max_output_size(self, name):
        return 4 * 3 * self.shapes["x"][0]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return True

    def set_output_allocator(self, name, allocator):
        self.allocators[name] = allocator
        return True

    def execute_async_v3(self, stream):
        assert self.owns_memory or self.device_memory in self.library.driver.memory, "no scratch memory"
        if self.library.enqueue_error:
            self.library.logger.log("ERROR", self.library.enqueue_error)
            return False
        work = getattr(self.library.driver.recording, "work", None)
        if work is not None:
            shapes, addresses = dict(self.shapes), dict(self.addresses)
            work.append(lambda: self._compute(shapes, addresses))
            return True
        addresses = dict(self.addresses)
        if self.allocators:
            shape = (self.library.rows, 3)
            address = self.allocators["y"].reallocate_output("y", 0, 12 * self.shapes["x"][0], 256)
            if not address:
                self.library.logger.log("ERROR", "an output has no memory")
                return False
            addresses["y"] = address
            self.allocators["y"].notify_shape("y", shape)
        self._compute(self.shapes, addresses)
        if self.profiler is not None:
            self.profiler.report_layer_time("twice", 0.5)
            self.profiler.report_layer_time("plus", 0.25)
        return True

    def _compute(self, shapes, addresses):
        x, n, y = (
            np.frombuffer((ctypes.c_byte * (4 * count)).from_address(addresses[name]), dtype)
            for name, dtype, count in (
                ("x", np.float32, np.prod(shapes["x"])),
                ("n", np.int32, shapes["n"][0]),
                ("y", np.float32, np.prod(shapes["x"])),
            )
        )
        y[:] = (2 * x.reshape(-1, 3) + n[:, None]).reshape(-1)


class FakeTensorRT:
    """Plays the ``tensorrt`` module, its runtime and its engine."""

    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    tensors = {  # noqa: RUF012
        "x": ("in", "FLOAT", (-1, 3)),
        "n": ("in", "INT32", (-1,)),
        "y": ("out", "FLOAT", (-1, 3)),
    }
    num_io_tensors = 3

    class ILogger:
        Severity = SimpleNamespace(ERROR="ERROR", INTERNAL_ERROR="INTERNAL_ERROR", WARNING="WARNING")

    class IOutputAllocator:
        pass

    class IProfiler:
        pass

    device_memory_size = 1000

    def __init__(self):
        self.contexts, self.shares_profiles, self.rows = weakref.WeakSet(), True, 1
        self.num_made, self.driver = 0, SimpleNamespace(recording=None)
        self.profiles_used, self.enqueue_error, self.data_dependent = [], None, False
        self.load_error, self.has_context, self.shape_inputs = None, True, ()
        self.plugins = []

    def Runtime(self, logger):
        self.logger = logger
        return self

    def init_libnvinfer_plugins(self, logger, namespace):
        self.plugins.append(namespace)
        return True

    def get_plugin_registry(self):
        return SimpleNamespace(load_library=lambda path: self.plugins.append(path) or path)

    def deserialize_cuda_engine(self, plan):
        if self.load_error:
            self.logger.log("ERROR", self.load_error)
            return None
        return self

    def create_execution_context(self):
        return FakeContext(self, owns_memory=True) if self.has_context else None

    def create_execution_context_without_device_memory(self):
        return FakeContext(self) if self.has_context else None

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return self.tensors[name][0]

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=self.tensors[name][1])

    def get_tensor_shape(self, name):
        return self.tensors[name][2]

    def is_shape_inference_io(self, name):
        return name in self.shape_inputs


def install(monkeypatch):
    """Put the fakes in place of driver, CUDA and TensorRT 8.6.0; return the last two."""
    library, driver = FakeTensorRT(), FakeCuda()
    library.driver = driver
    found = (Gpu(0, "NVIDIA H200", "9.0", 1 << 37, "580", "13.0"),)
    monkeypatch.setattr("trtforge.nvidia.devices.gpus", lambda: found)
    monkeypatch.setattr(artifact, "gpus", lambda: found)
    monkeypatch.setattr("trtforge.nvidia.selection.available", lambda: (V8("8.6.0"),))
    monkeypatch.setattr(V8, "module", lambda self: library)
    monkeypatch.setattr(cuda, "runtime_api", lambda: driver)
    return library, driver
