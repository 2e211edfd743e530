"""A TensorRT builder made of Python: it parses, calibrates and gives a plan, as far as calibration goes."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import onnx

from tests.nvidia.test_tensor_names import FakeNetwork
from tests.runtime.fake_gpu import FakeCuda
from trtforge.nvidia import cuda
from trtforge.nvidia.devices import Gpu
from trtforge.nvidia.v8 import V8
from trtforge.nvidia.v10 import V10

LAYERS = """
 Layers:
Name: conv1, LayerType: CaskConvolution, Inputs: [ { Name: x, Format/Datatype: Int8 }], Outputs: [ ]
"""


class FakeTensorRT:
    """Plays the ``tensorrt`` module; what the builder saw stays in its attributes."""

    BuilderFlag = SimpleNamespace(FP16="FP16", INT8="INT8")
    ProfilingVerbosity = SimpleNamespace(DETAILED="DETAILED")
    NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0)
    PreviewFeature = SimpleNamespace(PROFILE_SHARING_0806="PROFILE_SHARING_0806")

    class ILogger:
        Severity = SimpleNamespace(ERROR="ERROR", INTERNAL_ERROR="INTERNAL_ERROR", WARNING="WARNING")

    class IProgressMonitor:
        pass

    class IInt8EntropyCalibrator2:
        pass

    class IInt8MinMaxCalibrator:
        pass

    def __init__(self):
        self.plan, self.native_cache = b"plan", b"TRT-8600-EntropyCalibration2\nmel: 3c010a14\n"
        self.given_cache, self.batches, self.flags, self.calibration_shapes = None, [], [], None
        self.previews = []
        # Optimization levels that fail, whether Q/DQ networks fail at all, and what the timing cache held.
        self.failing_levels, self.refuses_quantized, self.timings = set(), False, []

    def Builder(self, logger):
        self.logger = logger
        return self

    def init_libnvinfer_plugins(self, logger, namespace):
        return True

    def create_network(self, flags):
        self.network = FakeNetwork([], [])
        return self.network

    def OnnxParser(self, network, logger):
        return self

    def parse(self, content):
        graph = onnx.ModelProto.FromString(content).graph
        self.is_quantized = any(node.op_type == "QuantizeLinear" for node in graph.node)
        layers, kind = [], SimpleNamespace(name="FLOAT")
        for node in graph.node:
            if node.op_type == "Conv":
                made = [f"(Unnamed Layer* {len(layers) + at}) [made]_output" for at in (0, 1)]
                layers += [("SHUFFLE", [node.input[0]], made[:1]), ("CONVOLUTION", made[:1], made[1:])]
                layers.append(("SHUFFLE", made[1:], [node.output[0]]))
            else:
                layers.append(("OTHER", list(node.input), list(node.output)))
        self.network.__init__([value.name for value in graph.input], layers)
        tensors = [
            SimpleNamespace(name=v.name, dtype=kind, shape=(-1, 4, -1), is_shape_tensor=False)
            for v in graph.input
        ]
        self.network.get_input = lambda index: tensors[index]
        self.network.num_outputs = 1
        logits = SimpleNamespace(name="logits", dtype=kind, shape=(-1, 5, -1))
        self.network.get_output = lambda index: logits
        return True

    def create_builder_config(self):
        return FakeConfig(self)

    def create_optimization_profile(self):
        return FakeProfile()

    def build_serialized_network(self, network, config):
        self.logger.log("INFO", LAYERS)
        if self.is_quantized and (self.refuses_quantized or config.level in self.failing_levels):
            severity = self.ILogger.Severity.ERROR
            self.logger.log(severity, "10: Could not find any implementation for node {ForeignNode[a...b]}.")
            return None
        if config.timing_cache is not None:
            config.timing_cache.entries.add(f"level {config.level}")
        calibrator = config.int8_calibrator
        if calibrator is not None:
            self.given_cache = calibrator.read_calibration_cache()
            if self.given_cache is None:
                self._calibrate(calibrator)
        return self.plan

    def _calibrate(self, calibrator):
        while (addresses := calibrator.get_batch(["mel"])) is not None:
            count = int(np.prod(self.calibration_shapes["mel"]))
            block = (ctypes.c_byte * (4 * count)).from_address(addresses[0])
            self.batches.append(
                np.frombuffer(block, np.float32).reshape(self.calibration_shapes["mel"]).copy()
            )
        calibrator.write_calibration_cache(self.native_cache)


class FakeTimingCache:
    def __init__(self, content):
        self.entries = set(content.decode().split(",")) - {""}

    def combine(self, other, ignore_mismatch):
        if "elsewhere" in other.entries:
            return False
        self.entries |= other.entries
        return True

    def serialize(self):
        return ",".join(sorted(self.entries)).encode()


class FakeProfile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, name, low, opt, high):
        self.shapes[name] = opt


class FakeConfig:
    def __init__(self, library):
        self.library, self.int8_calibrator = library, None
        self.timing_cache, self.builder_optimization_level = None, 3

    @property
    def level(self):
        return self.builder_optimization_level

    def create_timing_cache(self, content):
        # TensorRT 8.6 takes what is no timing cache for an empty one.
        return FakeTimingCache(b"" if content.startswith(b"garbage") else content)

    def set_timing_cache(self, cache, ignore_mismatch):
        self.library.timings.append(sorted(cache.entries))
        self.timing_cache = cache
        return "elsewhere" not in cache.entries

    def get_timing_cache(self):
        return self.timing_cache

    def set_flag(self, flag):
        self.library.flags.append(flag)

    def set_preview_feature(self, feature, enable):
        self.library.previews.append((feature, enable))

    def add_optimization_profile(self, profile):
        return 0

    def set_calibration_profile(self, profile):
        self.library.calibration_shapes = profile.shapes
        return True


def install(monkeypatch):
    """Put the fakes in place of driver, CUDA and TensorRT; return the last two."""
    library, driver = FakeTensorRT(), FakeCuda()
    found = (Gpu(0, "NVIDIA H200", "9.0", 1 << 37, "580", "13.0"),)
    monkeypatch.setattr("trtforge.nvidia.devices.gpus", lambda: found)
    for flavor in (V8, V10):
        monkeypatch.setattr(flavor, "module", lambda self: library)
    monkeypatch.setattr(cuda, "runtime_api", lambda: driver)
    return library, driver
