import warnings
from pathlib import Path

import onnx.parser
import pytest

from trtforge.calibration.carriers import cache_tensors
from trtforge.calibration.parser_names import parser_names
from trtforge.errors import ModelError
from trtforge.graph import prepare
from trtforge.model import load_model

RECOGNISER = Path(__file__).parents[2] / "examples/models/asr_en/asr_en.onnx"
HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def made(text):
    """Return the names that the parser makes, and what they stand for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = parser_names(onnx.parser.parse_model(f"{HEAD} {text}"))
    return {name: own for name, own in names.items() if name != own}


def test_a_1d_convolution_on_dynamic_axes_has_its_shapes_computed_first():
    assert made("""net (float[b, 2, t] mel) => (float[b, 2, s] y) <float[2, 2, 1] w = {1, 2, 3, 4}>
        { c = Conv(mel, w) r = Relu(c) y = Conv(r, w) }""") == {
        "(Unnamed Layer* 5) [Shuffle]_output": "mel",
        "(Unnamed Layer* 6) [Convolution]_output": "c",
        "(Unnamed Layer* 17) [Shuffle]_output": "r",
        "(Unnamed Layer* 18) [Convolution]_output": "y",
    }


def test_on_fixed_axes_a_1d_convolution_is_three_layers():
    assert made("""net (float[1, 2, 5] mel) => (float[1, 2, 5] y) <float[2, 2, 1] w = {1, 2, 3, 4}>
        { c = Conv(mel, w) y = Conv(c, w) }""") == {
        "(Unnamed Layer* 0) [Shuffle]_output": "mel",
        "(Unnamed Layer* 1) [Convolution]_output": "c",
        "(Unnamed Layer* 3) [Shuffle]_output": "c",
        "(Unnamed Layer* 4) [Convolution]_output": "y",
    }


def test_batch_normalisation_and_pooling_of_1d_signals_are_wrapped_too():
    weights = "<float[2] s = {1, 1}>"
    assert made(f"""net (float[b, 2, t] x) => (float[b, 2, s] y) {weights}
        {{ n = BatchNormalization(x, s, s, s, s) y = MaxPool<kernel_shape: ints = [2]>(n) }}""") == {
        "(Unnamed Layer* 5) [Shuffle]_output": "x",
        "(Unnamed Layer* 6) [Scale]_output": "n",
        "(Unnamed Layer* 14) [Shuffle]_output": "n",
        "(Unnamed Layer* 15) [Pooling]_output": "y",
    }


def test_2d_layers_and_products_make_no_names_but_are_counted():
    assert made("""net (float[1, 2, 4, 4] x) => (float[1, 2, 4] z)
        <float[2, 2, 1, 1] w = {1, 2, 3, 4}, float[4, 1] m = {1, 1, 1, 1}, float[1] k = {2},
         float[2, 2, 1] v = {1, 2, 3, 4}, float[1, 2, 4] f = {1, 1, 1, 1, 1, 1, 1, 1}>
        {
            c = Conv(x, w)
            p = MatMul(c, m)
            q = Mul(p, k)
            o = Add(q, k)
            g = Relu(f)
            a = Conv(g, v)
            z = Relu(a)
        }""") == {
        # Convolution; constant, its reshape, product; the same three; the constant again, which is there and
        # is only reshaped, and the sum; constant, ReLU: eleven layers.
        "(Unnamed Layer* 11) [Shuffle]_output": "g",
        "(Unnamed Layer* 12) [Convolution]_output": "a",
    }


def test_a_classifier_is_counted_as_in_a_real_cache():
    # A cache that TensorRT 8.5.1 wrote of such a network ends in layer 17, a reshape, and the sum "y".
    weights = (
        "float[2] s = {1, 1}, float[4, 8] w1 = {}, float[4] b1 = {}, float[2, 4] w2 = {}, float[2] b2 = {}"
    )
    shapes = "int64[2] flat = {1, 8}, int64[3] signal = {1, 2, 1}"
    text = f"""net (float[1, 2, 8, 8] x) => (float[1, 2, 1] z)
        <float[2, 2, 1, 1] k = {{1, 1, 1, 1}}, float[2, 2, 1] v = {{1, 1, 1, 1}}, {weights}, {shapes}>
        {{
            c1 = Conv(x, k)
            r1 = Relu(c1)
            n1 = BatchNormalization(r1, s, s, s, s)
            p1 = MaxPool<kernel_shape: ints = [2, 2], strides: ints = [2, 2]>(n1)
            c2 = Conv(p1, k)
            r2 = Relu(c2)
            p2 = MaxPool<kernel_shape: ints = [2, 2], strides: ints = [2, 2]>(r2)
            f = Reshape(p2, flat)
            g1 = Gemm<transB: int = 1>(f, w1, b1)
            r3 = Relu(g1)
            y = Gemm<transB: int = 1>(r3, w2, b2)
            t = Reshape(y, signal)
            z = Conv(t, v)
        }}"""
    for name, size in (("w1", 32), ("b1", 4), ("w2", 8), ("b2", 2)):
        text = _filled(text, name, size)
    assert made(text) == {
        "(Unnamed Layer* 20) [Shuffle]_output": "t",
        "(Unnamed Layer* 21) [Convolution]_output": "z",
    }


def _filled(text, name, size):
    before, after = text.split(f"{name} = {{", 1)
    return f"{before}{name} = {{{', '.join('1' * size)}}}{after.partition('}')[2]}"


def test_after_an_unknown_operator_only_onnx_names_are_given():
    model = onnx.parser.parse_model(f"""{HEAD} net (float[b, 2, t] mel) => (float[b, 2, s] y)
        <float[2, 2, 1] w = {{1, 2, 3, 4}}>
        {{ c = Conv(mel, w) [odd] d = Softmax(c) y = Conv(d, w) }}""")
    with pytest.warns(
        RuntimeWarning, match=r"makes from node .* \(Softmax\) on cannot be predicted"
    ) as caught:
        names = parser_names(model)
    assert len(caught) == 1
    assert list(names) == [
        "mel",
        "(Unnamed Layer* 5) [Shuffle]_output",
        "(Unnamed Layer* 6) [Convolution]_output",
        "c",
        "d",
        "y",
    ]


def test_the_recogniser_is_predicted_whole():
    model = prepare(load_model(RECOGNISER))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = parser_names(model)
    # Each convolution lies between two reshapes, of which the second has the ONNX name.
    num_convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
    assert sum("[Shuffle]" in name for name in names) == num_convolutions
    convolved = [own for name, own in names.items() if "[Convolution]" in name]
    assert len(convolved) == num_convolutions
    assert convolved[-1] == "classifier.out"
    assert set(names.values()) == set(cache_tensors(model))


def test_a_path_is_taken_and_a_missing_file_is_named(tmp_path):
    text = "net (float[batch, t] x) => (float[batch, t] y) { y = Relu(x) }"
    onnx.save(onnx.parser.parse_model(f"{HEAD} {text}"), tmp_path / "net.onnx")
    assert parser_names(tmp_path / "net.onnx") == {"x": "x", "y": "y"}
    assert cache_tensors(tmp_path / "net.onnx") == ("x", "y")
    with pytest.raises(ModelError, match=f"no ONNX file at {tmp_path}/none.onnx"):
        parser_names(tmp_path / "none.onnx")
