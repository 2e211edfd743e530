"""Small networks with seeded weights, and ways to run and build them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from trtforge._ort import make_session
from trtforge.scales import Scales, TensorScale


class Net:
    """Collects nodes and constants; ``model`` closes the graph and checks it."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def normal(self, name: str, *shape: int, std: float | None = None) -> str:
        std = std if std is not None else 1.0 / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 4.0)
        return self.constant(name, self.rng.normal(0.0, std, shape).astype(np.float32))

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def norm(self, x: str, name: str, channels: int) -> str:
        parameters = [
            self.constant(f"{name}.gamma", self.rng.uniform(0.5, 1.5, channels).astype(np.float32)),
            self.normal(f"{name}.beta", channels, std=0.2),
            self.normal(f"{name}.mean", channels, std=0.2),
            self.constant(f"{name}.var", self.rng.uniform(0.3, 2.0, channels).astype(np.float32)),
        ]
        return self.node("BatchNormalization", [x, *parameters], name, epsilon=1e-3)

    def conv(self, x: str, name: str, shape: Sequence[int], **attributes) -> str:
        pads = [size // 2 for size in shape[2:]] * 2
        return self.node("Conv", [x, self.normal(f"{name}.weight", *shape)], name, pads=pads, **attributes)

    def model(self, inputs: dict, outputs: dict, opset: int = 17, ir_version: int = 8) -> onnx.ModelProto:
        def values(types):
            return [
                helper.make_tensor_value_info(name, elem, shape)
                for name, (elem, shape) in (
                    (name, spec if isinstance(spec, tuple) else (TensorProto.FLOAT, spec))
                    for name, spec in types.items()
                )
            ]

        graph = helper.make_graph(self.nodes, "net", values(inputs), values(outputs), self.constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
        )
        helper.set_model_props(model, {"purpose": "test"})
        check(model)
        return model


def check(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)


def quartznet(width: int = 32, blocks: int = 2) -> onnx.ModelProto:
    """A speech recogniser in small: [batch, 80, frames] to [batch, steps, 29], FP16 weights behind casts."""
    net = Net()

    def layer(x: str, name: str, shape: Sequence[int], **attributes) -> str:
        values = net.rng.normal(0.0, 1.4 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float16)
        wide = net.node(
            "Cast", [net.constant(f"{name}.weight", values)], f"{name}.wide", to=TensorProto.FLOAT
        )
        pad = shape[2] // 2
        y = net.node("Conv", [x, wide], f"{name}.conv", pads=[pad, pad], **attributes)
        return net.norm(y, f"{name}.norm", shape[0])

    x = net.node("Relu", [layer("mel", "stem", (width, 80, 11), strides=[2])], "stem.relu")
    for index in range(blocks):
        y = net.node("Relu", [layer(x, f"b{index}.first", (width, width, 7))], f"b{index}.first.relu")
        y = layer(y, f"b{index}.second", (width, width, 7))
        x = net.node("Relu", [net.node("Add", [x, y], f"b{index}.add")], f"b{index}.relu")
    bias = net.normal("classifier.bias", 29)
    x = net.node("Conv", [x, net.normal("classifier.weight", 29, width, 1), bias], "classifier")
    net.node("Transpose", [x], "logits", perm=[0, 2, 1])
    return net.model({"mel": ["batch", 80, "frames"]}, {"logits": ["batch", "steps", 29]})


def image_net() -> onnx.ModelProto:
    """2-D convolutions: depthwise, branches joined by Concat, a projected residual, pooling, a classifier."""
    net = Net(1)
    x = net.node("Relu", [net.norm(net.conv("image", "stem", (16, 3, 3, 3)), "stem.norm", 16)], "stem.relu")
    a = net.node("Relu", [net.conv(x, "depthwise", (16, 1, 3, 3), group=16)], "depthwise.relu")
    b = net.node("MaxPool", [x], "pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    joined = net.node("Concat", [a, b, x], "joined", axis=1)
    y = net.norm(net.conv(joined, "mix", (32, 48, 1, 1)), "mix.norm", 32)
    skip = net.norm(net.conv(x, "project", (32, 16, 1, 1)), "project.norm", 32)
    y = net.node("Relu", [net.node("Add", [y, skip], "sum")], "sum.relu")
    y = net.node("ConvTranspose", [y, net.normal("up.weight", 32, 16, 2, 2)], "up", strides=[2, 2])
    y = net.node("Flatten", [net.node("GlobalAveragePool", [y], "average")], "flat", axis=1)
    weight, bias = net.normal("fc.weight", 20, 16), net.normal("fc.bias", 20)
    net.node("Gemm", [y, weight, bias], "scores", transB=1)
    return net.model({"image": ["batch", 3, 16, 16]}, {"scores": ["batch", 20]})


def transformer_block(width: int = 32, heads: int = 2) -> onnx.ModelProto:
    """Pre-norm self-attention and feed-forward: [batch, time, width]."""
    net = Net(2)

    def norm(x: str, name: str) -> str:
        gamma = net.constant(f"{name}.gamma", net.rng.uniform(0.5, 1.5, width).astype(np.float32))
        return net.node("LayerNormalization", [x, gamma, net.normal(f"{name}.beta", width)], name, axis=-1)

    def linear(x: str, name: str, inner: int, outer: int) -> str:
        weight = net.normal(f"{name}.weight", inner, outer, std=inner**-0.5)
        return net.node(
            "Add",
            [net.node("MatMul", [x, weight], f"{name}.product"), net.normal(f"{name}.bias", outer)],
            name,
        )

    split = net.constant("split", np.array([0, 0, heads, width // heads]))
    merge = net.constant("merge", np.array([0, 0, width]))
    n = norm("x", "norm1")
    parts = {}
    for part, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        y = net.node("Reshape", [linear(n, part, width, width), split], f"{part}.split")
        parts[part] = net.node("Transpose", [y], f"{part}.heads", perm=perm)
    scores = net.node("MatMul", [parts["q"], parts["k"]], "scores.raw")
    scores = net.node("Div", [scores, net.constant("root", np.float32((width // heads) ** 0.5))], "scores")
    y = net.node("MatMul", [net.node("Softmax", [scores], "attention", axis=-1), parts["v"]], "context")
    y = net.node("Reshape", [net.node("Transpose", [y], "context.t", perm=[0, 2, 1, 3]), merge], "context.m")
    x = net.node("Add", ["x", linear(y, "out", width, width)], "residual1")
    y = linear(norm(x, "norm2"), "up", width, 2 * width)
    erf = net.node(
        "Erf", [net.node("Div", [y, net.constant("sqrt2", np.float32(2**0.5))], "gelu.in")], "gelu.erf"
    )
    gate = net.node("Add", [erf, net.constant("one", np.float32(1.0))], "gelu.gate")
    y = net.node(
        "Mul", [net.node("Mul", [y, gate], "gelu.double"), net.constant("half", np.float32(0.5))], "gelu"
    )
    net.node("Add", [x, linear(y, "down", 2 * width, width)], "y")
    return net.model({"x": ["batch", "time", width]}, {"y": ["batch", "time", width]})


def feed(model: onnx.ModelProto, seed: int = 7, frames: int = 60) -> dict[str, np.ndarray]:
    """Standard normal values for every input; dynamic axes get a batch of 2 and ``frames``."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        shape = [dim.dim_value or (2 if axis == 0 else frames) for axis, dim in enumerate(dims)]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        arrays[value.name] = rng.normal(size=shape).astype(dtype)
    return arrays


def run(model: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = make_session(model, purpose="test", num_threads=1)
    names = [value.name for value in model.graph.output]
    return dict(zip(names, session.run(names, arrays), strict=True))


def run_exactly(model: onnx.ModelProto, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run in NumPy, rounding each FP16 tensor; ONNX Runtime's CPU kernels keep FP32 between FP16 nodes."""
    names = [value.name for value in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(names, arrays), strict=True))


def assert_same_outputs(before: onnx.ModelProto, after: onnx.ModelProto, rtol=1e-5, atol=1e-5) -> None:
    arrays = feed(before)
    expected, got = run(before, arrays), run(after, arrays)
    assert set(expected) == set(got)
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=rtol, atol=atol, err_msg=name)


def snr_db(expected: np.ndarray, got: np.ndarray) -> float:
    expected = expected.astype(np.float64)
    return float(10 * np.log10((expected**2).sum() / ((expected - got) ** 2).sum()))


def max_scales(model: onnx.ModelProto, names: Sequence[str]) -> Scales:
    """Scales from the largest magnitudes that one feed makes."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    present = {value.name for value in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    arrays = feed(model)
    values = arrays | run(watched, arrays)
    peaks = {name: float(np.abs(values[name]).max()) for name in names}
    tensors = {name: TensorScale(amax=peak, observed_max=peak) for name, peak in peaks.items()}
    return Scales(tensors, method="max", model_sha256="0" * 64, feeds_sha256="0" * 64, num_clips=2)


def prepare_and_scale(make) -> tuple[onnx.ModelProto, Scales]:
    """Prepare a network and take the scales of what is to be quantized."""
    from trtforge.graph import prepare, tensors_to_observe

    model = prepare(make())
    return model, max_scales(model, tensors_to_observe(model))


def build_rtx(model: onnx.ModelProto) -> int:
    """Build with TensorRT-RTX and return the plan's size in bytes; skip where it is not installed."""
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse(model.SerializeToString())
    assert parsed, [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    profile = builder.create_optimization_profile()
    for number in range(network.num_inputs):
        value = network.get_input(number)
        shapes = [
            [size if size >= 0 else (batch if axis == 0 else frames) for axis, size in enumerate(value.shape)]
            for batch, frames in ((1, 16), (2, 60), (4, 128))
        ]
        profile.set_shape(value.name, *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, "TensorRT-RTX built nothing"
    return plan.nbytes
