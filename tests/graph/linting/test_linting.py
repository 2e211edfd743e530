"""Each fault is found where it is, and TensorRT-RTX shows that it is one."""

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.graph.networks import build_rtx, max_scales, quartznet, run
from tests.graph.test_quantize import NETWORKS
from trtforge.graph import Target, describe, lint, prepare, quantize_graph, tensors_to_observe
from trtforge.graph.index import GraphIndex
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline.linting import lint_target

V8 = lint_target(flavor_for("tensorrt", "8.6.0"))
WEIGHT = np.random.default_rng(0).normal(0, 0.1, (16, 16, 3, 3)).astype(np.float32)


class Graph:
    """Two convolutions with Q/DQ pairs, of which a test spoils one part; then ``y``."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def pair(self, x, scale=0.1, zero_point=0, dtype=np.int8, read_by=None, **attributes):
        """Quantize a tensor; ``read_by`` is the dequantizer's scale where it differs."""
        scale = np.asarray(scale, np.float32)
        parts = [
            self.constant(f"{x}.s", scale),
            self.constant(f"{x}.z", np.full(scale.shape, zero_point, dtype)),
        ]
        quantized = self.node("QuantizeLinear", [x, *parts], f"{x}.q", **attributes)
        if read_by is not None:
            parts[0] = self.constant(f"{x}.s2", np.float32(read_by))
        return self.node("DequantizeLinear", [quantized, *parts], f"{x}.d", **attributes)

    def weight(self, name, scale=None, axis=0, **how):
        self.constant(name, WEIGHT)
        return self.pair(name, np.full(16, 0.01) if scale is None else scale, axis=axis, **how)

    def model(self, opset=19):
        shape = [1, 16, 8, 8]
        ends = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)]
            for name, dims in (("x", shape), ("y", [None] * 4))
        ]
        graph = helper.make_graph(self.nodes, "net", *ends, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def conv(graph, x, weight, made="y", **attributes):
    return graph.node("Conv", [x, weight], made, pads=[1, 1, 1, 1], **attributes)


def spoilt(*, x=None, weight=None):
    """A quantized convolution with options for the pair of its input and of its weight."""
    graph = Graph()
    conv(graph, graph.pair("x", **(x or {})), graph.weight("w", **(weight or {})))
    return graph.model()


def between(*operators):
    """Two quantized convolutions with operators between the first and the quantizer of the second."""
    graph = Graph()
    last = conv(graph, graph.pair("x"), graph.weight("w"), "c")
    for number, (operator, *constants) in enumerate(operators):
        names = [graph.constant(f"k{number}", np.float32(value)) for value in constants]
        last = graph.node(operator, [last, *names], f"n{number}")
    conv(graph, graph.pair(last), graph.weight("v"))
    return graph.model()


def found(model, target=None):
    return [(finding.rule, finding.severity, finding.node) for finding in lint(model, target)]


@pytest.mark.parametrize("make", NETWORKS)
def test_what_trtforge_places_has_no_fault(make):
    model = prepare(make())
    scales = max_scales(model, tensors_to_observe(model))
    assert lint(quantize_graph(model, scales)) == ()
    in_one_dimension = [rule for rule, _, _ in found(quantize_graph(model, scales, rest="float32"), V8)]
    assert set(in_one_dimension) <= {"quantized-1d-convolution"}


def test_a_stray_multiplication_between_activation_and_quantizer():
    model = between(("Relu",), ("Mul", 1.0))
    (finding,) = lint(model)
    assert (finding.rule, finding.severity, finding.node) == ("stray-operator", "warning", "n1.q")
    assert "'n1', a Mul, stands before quantizer 'n1.q'" in finding.message
    assert finding.remedy == "it changes nothing; trtforge.graph.prepare removes it"
    assert lint(between(("Relu",))) == ()


@pytest.mark.parametrize(
    ("operators", "stray"),
    [
        ([("Relu",), ("Mul", 0.5)], "'n1', a Mul"),
        ([("Mul", 0.5), ("Relu",)], "'n0', a Mul"),
        ([("Relu",), ("Sigmoid",)], "'n1', a Sigmoid"),
        ([("Relu",), ("Add", 1.0)], "'n1', a Add"),
        ([("Identity",)], "'n0', a Identity"),
    ],
)
def test_what_a_kernel_cannot_end_in_is_named(operators, stray):
    (finding,) = lint(between(*operators))
    assert finding.message.startswith(stray)
    assert finding.rule == "stray-operator"


@pytest.mark.parametrize(
    "operators", [[("Add", 1.0), ("Relu",)], [("LeakyRelu",)], [("Transpose",), ("Relu",)]]
)
def test_bias_activation_and_layout_are_no_strangers(operators):
    assert lint(between(*operators)) == ()


REFUSED = {
    "zero-point": ({"x": {"zero_point": 3}}, "x.q", r"shiftIsAllZeros\(zeroPoint\)"),
    "scale-not-positive": ({"x": {"scale": 0.0}}, "x.q", "Scale coefficients must all be positive"),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_errors_are_what_tensorrt_rtx_refuses(rule):
    options, node, said = REFUSED[rule]
    model = spoilt(**options)
    assert (rule, "error", node) in found(model)
    with pytest.raises(AssertionError, match=said):
        build_rtx(model)


def test_a_quantized_bias_of_32_bits_is_refused_by_its_type():
    graph = Graph()
    parts = [graph.constant("b", np.ones(16, np.int32)), graph.constant("b.s", np.full(16, 1e-3, np.float32))]
    bias = graph.node("DequantizeLinear", parts, "b.d", axis=0)
    graph.node("Conv", [graph.pair("x"), graph.weight("w"), bias], "y", pads=[1, 1, 1, 1])
    model = graph.model()
    assert found(model) == [("quantized-type", "error", "b.d"), ("quantized-bias", "warning", "y")]
    with pytest.raises(AssertionError, match="input has type Int32 but must have type FP8, FP4, Int4, Int8"):
        build_rtx(model)


def test_integer_operators_are_refused():
    graph = Graph()
    graph.node("DynamicQuantizeLinear", ["x"], "q")
    graph.nodes[0].output.extend(["s", "z"])
    graph.node("DequantizeLinear", ["q", "s", "z"], "y")
    model = graph.model()
    assert ("integer-operator", "error", "q") in found(model)
    assert ("computed-scale", "error", "y") in found(model)
    with pytest.raises(AssertionError):
        build_rtx(model)


def test_unsigned_quantizers_build_and_compute_other_numbers():
    model = spoilt(x={"dtype": np.uint8})
    assert found(model) == [("unsigned", "error", "x.q"), ("unsigned", "error", "x.d")]
    assert build_rtx(model) > 10_000
    # UINT8 cuts off what is below zero, and INT8 does not.
    feed = {"x": np.full((1, 16, 8, 8), -1.0, np.float32)}
    assert not run(model, feed)["y"].any()
    assert run(spoilt(), feed)["y"].any()


def test_scales_along_a_wrong_axis_build_and_keep_the_weight_in_floating_point():
    assert found(spoilt(weight={"axis": 1})) == [("weight-axis", "warning", "y")]
    assert found(spoilt(x={"scale": np.full(16, 0.1), "axis": 1})) == [("activation-axis", "warning", "x.q")]
    assert found(spoilt(weight={"scale": 0.01})) == []
    assert build_rtx(spoilt(weight={"axis": 1})) > 1.4 * build_rtx(spoilt())


def test_a_layer_quantized_by_half_keeps_its_weight_in_floating_point():
    graph = Graph()
    conv(graph, "x", graph.weight("w"))
    model = graph.model()
    (finding,) = lint(model)
    assert finding.message == "of 'y' only the weight is quantized: it multiplies in floating point"
    assert describe(model).counts == {"float32": 1}
    assert build_rtx(model) > 1.4 * build_rtx(spoilt())
    graph = Graph()
    conv(graph, graph.pair("x"), graph.constant("w", WEIGHT))
    assert found(graph.model()) == [("half-quantized", "warning", "y")]


def test_a_pair_that_no_layer_reads_is_named():
    graph = Graph()
    graph.node("Softmax", [graph.pair("x")], "y")
    (finding,) = lint(graph.model())
    assert (finding.rule, finding.node) == ("no-quantized-reader", "x.d")
    assert "is read by Softmax, which computes in floating point" in finding.message


def test_scales_that_should_be_one():
    assert found(spoilt(x={"read_by": 0.2})) == [("pair-of-two-scales", "warning", "x.d")]
    graph = Graph()
    conv(graph, graph.pair("x"), graph.weight("w"), "c")
    graph.node("MaxPool", ["x"], "p", kernel_shape=[1, 1])
    conv(graph, graph.pair("p", scale=0.2), graph.weight("v"), "d")
    graph.node("Add", ["c", "d"], "y")
    assert found(graph.model()) == [("carried-scale", "warning", "p.q")]


def test_a_tensor_quantized_twice():
    graph = Graph()
    conv(graph, graph.pair("x"), graph.weight("w"), "c")
    parts = [graph.constant("s", np.float32(0.3)), graph.constant("z", np.int8(0))]
    again = graph.node("DequantizeLinear", [graph.node("QuantizeLinear", ["x", *parts], "q"), *parts], "d")
    conv(graph, again, "w.d", "e")
    graph.node("Add", ["c", "e"], "y")
    assert found(graph.model()) == [("tensor-of-two-scales", "warning", "q")]


def test_what_tensorrt_8_lacks():
    model = prepare(quartznet())
    scales = max_scales(model, tensors_to_observe(model))
    rules = {rule for rule, _, _ in found(quantize_graph(model, scales), V8)}
    assert rules == {"opset", "half-scale", "stored-weight", "quantized-1d-convolution"}
    first = lint(quantize_graph(model, scales), V8)[0]
    assert first.message == "the network uses opset 19, and tensorrt 8.6.0 reads up to 17"
    assert found(spoilt(), Target(max_onnx_opset=18)) == [("opset", "error", "")]


def test_two_types_meet_in_no_layer():
    model = spoilt()
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "x.s")
    scale.CopyFrom(numpy_helper.from_array(np.float16(0.1), "x.s"))
    del model.graph.node[0]
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    graph.graph.node.insert(0, helper.make_node("Cast", ["x"], ["half"], name="half", to=TensorProto.FLOAT16))
    index = GraphIndex(graph.graph)
    parts = ["half", "x.s", "x.z"]
    graph.graph.node.insert(1, helper.make_node("QuantizeLinear", parts, ["x.q"], name="x.q"))
    assert index.producer("x.d") is not None
    assert ("mixed-types", "error", "y") in found(graph)


def product(types, *moves):
    """Multiply an input by a weight, both quantized, with operators before the weight's dequantizer."""
    numbers = {TensorProto.INT8: 5, TensorProto.INT4: 5, TensorProto.FLOAT8E4M3FN: 0.5}
    graph = Graph()
    zero = helper.make_tensor("z", types[0], [], [0])
    stored = helper.make_tensor("w", types[1], [16, 16], [numbers[types[1]]] * 256)
    graph.constants += [zero, stored]
    parts = [graph.constant("s", np.float32(0.1)), "z"]
    x = graph.node("DequantizeLinear", [graph.node("QuantizeLinear", ["x", *parts], "x.q"), *parts], "x.d")
    last = "w"
    for number, (operator, *constants) in enumerate(moves):
        names = [graph.constant(f"k{number}", np.asarray(value)) for value in constants]
        last = graph.node(operator, [last, *names], f"n{number}")
    weight = graph.node(
        "DequantizeLinear", [last, graph.constant("w.s", np.full(16, 0.1, np.float32))], "w.d"
    )
    graph.node("MatMul", [x, weight], "y")
    model = graph.model(opset=21)
    for value, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 2, 8, 16), strict=True):
        value.dim_value = size
    return model


@pytest.mark.parametrize(
    ("activation", "weight"),
    [
        (TensorProto.INT8, TensorProto.FLOAT8E4M3FN),
        (TensorProto.FLOAT8E4M3FN, TensorProto.INT8),
        (TensorProto.FLOAT8E4M3FN, TensorProto.INT4),
    ],
)
def test_two_quantized_types_meet_in_no_layer(activation, weight):
    model = product((activation, weight))
    names = [TensorProto.DataType.Name(kind) for kind in (activation, weight)]
    (finding,) = lint(model)
    assert (finding.rule, finding.severity, finding.node) == ("mixed-types", "error", "y")
    assert finding.message == f"the input of 'y' is quantized to {names[0]} and its weight to {names[1]}"
    with pytest.raises(AssertionError, match="built nothing"):
        build_rtx(model)


@pytest.mark.parametrize("kind", [TensorProto.INT8, TensorProto.INT4])
def test_one_type_or_weights_of_four_bits_build(kind):
    model = product((TensorProto.INT8, kind))
    assert lint(model) == ()
    assert build_rtx(model) > 1000


@pytest.mark.parametrize("move", [("Transpose",), ("Identity",), ("Gather", np.arange(16))])
def test_only_dequantizers_read_stored_constants(move):
    model = product((TensorProto.INT8, TensorProto.INT8), move, ("Identity",))
    finding = lint(model)[0]
    assert (finding.rule, finding.severity, finding.node) == ("moved-constant", "error", "w.d")
    assert f"'n0', a {move[0]}, stands between constant 'w' and dequantizer 'w.d'" in finding.message
    assert finding.remedy == f"dequantize first, then {move[0]}"
    with pytest.raises(AssertionError, match="built nothing"):
        build_rtx(model)


def test_constants_as_nodes_are_constants():
    graph = spoilt()
    stored = {tensor.name: tensor for tensor in graph.graph.initializer}
    for name in ("x.s", "x.z", "w.s", "w.z", "w"):
        graph.graph.node.insert(0, helper.make_node("Constant", [], [name], value=stored.pop(name)))
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(stored.values())
    before = graph.SerializeToString(deterministic=True)
    assert lint(graph) == ()
    assert graph.SerializeToString(deterministic=True) == before
    zero = next(node for node in graph.graph.node if node.output[0] == "x.z")
    zero.attribute[0].t.CopyFrom(numpy_helper.from_array(np.int8(3)))
    assert [finding.rule for finding in lint(graph)] == ["zero-point", "zero-point"]


@pytest.mark.parametrize("scale", [np.inf, np.nan])
def test_a_scale_that_is_no_number_is_one_fault(scale):
    found = lint(spoilt(x={"scale": scale}))
    assert [finding.rule for finding in found] == ["scale-not-positive"] * 2
    assert found[0].message == f"a scale of 'x.q' is {scale}; all must be finite and above zero"


def test_changes_of_layout_are_looked_through_to_the_layer():
    graph = Graph()
    deep = graph.node("DepthToSpace", [graph.pair("x")], "deep", blocksize=2)
    graph.constant("v", WEIGHT[:, :4])
    conv(graph, deep, graph.pair("v", np.full(16, 0.01), axis=0))
    assert lint(graph.model()) == ()


def test_a_grouped_transposed_convolution_has_no_axis_to_be_wrong_about():
    found = {}
    for group in (1, 4):
        graph = Graph()
        graph.node("ConvTranspose", [graph.pair("x"), graph.weight("w", axis=0)], "y", group=group)
        found[group] = [finding.rule for finding in lint(graph.model())]
    assert found == {1: ["weight-axis"], 4: []}


def test_quantizers_inside_a_nested_graph_are_said_not_to_be_checked():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[8, 64] x, bool c) => (float[8, 64] y) <float s = {0.1}, uint8 z = {3}> {
            y = If (c) <
                then_branch = g1 () => (float[8, 64] p) {
                    q = QuantizeLinear (x, s, z)
                    p = DequantizeLinear (q, s, z)
                },
                else_branch = g2 () => (float[8, 64] r) { r = Identity (x) }
            >
        }
    """)
    (finding,) = lint(model)
    assert (finding.rule, finding.severity, finding.node) == ("nested-graph", "warning", "y.then_branch")
    assert finding.message == "2 quantizers are inside 'y.then_branch', where nothing was checked"


@pytest.mark.parametrize("width", [1, 2])
def test_a_single_block_is_not_read_by_tensorrt_rtx(width):
    model = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]>
        net (float[4, 16] x) => (float[4, {width}] y) {{
            wide = DequantizeLinear <axis = 0, block_size = 16> (narrow, scale)
            y = MatMul (x, wide)
        }}"""
    )
    constants = {"narrow": np.ones((16, width), np.int8), "scale": np.full((1, width), 0.1, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    if width > 1:
        assert found(model) == []
        assert build_rtx(model) > 1_000
        return
    assert found(model) == [("single-block", "error", "wide")]
    with pytest.raises(AssertionError, match="Invalid Node"):
        build_rtx(model)
