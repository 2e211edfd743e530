import numpy as np
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.bundled import MODEL
from trtforge.errors import ModelError
from trtforge.graph import ReceptiveField, receptive_field
from trtforge.runtime import OnnxRunner


def network(body, head="float[batch, 4, frames] x", out="float[batch, 4, steps] y"):
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net ({head}) => ({out}) {body}
    """)


def convolutions(layers, seed=0):
    """Layers of (kernel, dilation, stride, pad before, pad after) on 3 channels."""
    rng = np.random.default_rng(seed)
    nodes, weights, name = [], [], "x"
    for index, (kernel, dilation, stride, before, after) in enumerate(layers):
        weight = rng.normal(size=(3, 3, kernel)).astype(np.float32)
        bias = rng.normal(size=3).astype(np.float32)
        weights += [numpy_helper.from_array(weight, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        nodes.append(
            helper.make_node(
                "Conv", [name, f"w{index}", f"b{index}"], [f"y{index}"],
                dilations=[dilation], strides=[stride], pads=[before, after],
            )
        )  # fmt: skip
        name = f"y{index}"
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, axis])
        for name, axis in (("x", "frames"), (name, "steps"))
    ]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_bundled_recognisers_field_is_the_sum_over_its_kernels():
    # a stem of 11 at stride 2; twice four blocks of two kernels of 3 with dilations 1, 2, 4, 8
    reach = 5 + 2 * (2 * 2 * (1 + 2 + 4 + 8))
    assert receptive_field(MODEL) == ReceptiveField(reach, reach, stride=2, output_axis=1)
    assert receptive_field(MODEL).num_frames == 251


def test_a_causal_convolution_sees_nothing_to_come():
    assert receptive_field(convolutions([(3, 2, 1, 4, 0)])) == ReceptiveField(4, 0, 1, output_axis=2)


LAYER = st.tuples(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(LAYER, min_size=1, max_size=3), st.integers(0, 159))
def test_outputs_depend_on_the_frames_of_the_field_and_no_others(layers, changed):
    model = convolutions(layers)
    field = receptive_field(model)
    x = np.random.default_rng(1).normal(size=(1, 3, 160)).astype(np.float32)
    other = x.copy()
    other[..., changed] += 10
    with OnnxRunner(model, num_threads=1) as runner:
        name = runner.outputs[0].name
        outputs = [runner.run({"x": array})[name] for array in (x, other)]
    differs = (outputs[0] != outputs[1]).any(axis=(0, 1))
    for j, is_other in enumerate(differs):
        inside = j * field.stride - field.left <= changed <= j * field.stride + field.right
        assert inside or not is_other, (j, field)


@pytest.mark.parametrize(
    "body",
    [
        "{ y = Softmax<axis = 2>(x) }",
        "{ y = InstanceNormalization(x, s, b) }",
        "{ t = Transpose<perm = [0, 2, 1]>(x)  a = MatMul(t, x)  y = MatMul(x, a) }",
        "{ y = CumSum(x, axis) }",
        "{ y = ReduceMean<axes = [2], keepdims = 1>(x) }",
        "{ c = Constant<value = float[1, 1, 3] {1.0, 2.0, 3.0}>()  y = Add(x, c) }",
        '{ y = MaxPool<kernel_shape = [3], strides = [2], auto_pad = "SAME_UPPER">(x) }',
    ],
)
def test_what_spans_the_whole_input_has_no_field(body):
    model = network(body)
    for name in ("s", "b"):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), name))
    model.graph.initializer.append(numpy_helper.from_array(np.array(2), "axis"))
    assert receptive_field(model) is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{ y = Softmax<axis = 1>(x) }", ReceptiveField(0, 0, 1, 2)),
        ("{ y = MaxPool<kernel_shape = [3], strides = [2]>(x) }", ReceptiveField(0, 2, 2, 2)),
        ('{ y = AveragePool<kernel_shape = [4], auto_pad = "SAME_LOWER">(x) }', ReceptiveField(2, 1, 1, 2)),
        (
            "{ c = Constant<value = float[4, 1] {1.0, 2.0, 3.0, 4.0}>()  y = Add(x, c) }",
            ReceptiveField(0, 0, 1, 2),
        ),
        ("{ a = MaxPool<kernel_shape = [3], pads = [2, 0]>(x)  y = Add(x, a) }", ReceptiveField(2, 0, 1, 2)),
        ("{ t = Transpose<perm = [0, 2, 1]>(x)  y = Softmax<axis = -1>(t) }", ReceptiveField(0, 0, 1, 1)),
    ],
)
def test_what_works_on_frames_keeps_or_widens_the_field(body, field):
    assert receptive_field(network(body)) == field


def test_indices_of_a_maximum_count_over_the_whole_input():
    out = "float[batch, 4, steps] m, int64[batch, 4, steps] y"
    model = network("{ m, y = MaxPool<kernel_shape = [3]>(x) }", out=out)
    assert receptive_field(model, output="m") == ReceptiveField(0, 2, 1, 2)
    assert receptive_field(model, output="y") is None


def test_branches_of_two_strides_have_no_field():
    body = """{ a = MaxPool<kernel_shape = [1], strides = [2]>(x)
                b = MaxPool<kernel_shape = [1]>(x)  y = Add(a, b) }"""
    assert receptive_field(network(body)) is None


def test_unknown_names_and_axes_are_refused():
    model = network("{ y = Relu(x) }")
    with pytest.raises(ModelError, match=r"no output 'z', only \['y'\]"):
        receptive_field(model, output="z")
    with pytest.raises(ModelError, match=r"time_axis 3 is not an axis"):
        receptive_field(model, time_axis=3)
