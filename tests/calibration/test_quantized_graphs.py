from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.calibration.networks import convolutions
from trtforge.calibration import choose, collect, read_qdq_scales
from trtforge.errors import ScalesError
from trtforge.feeds import as_feeds
from trtforge.graph import quantize_graph
from trtforge.model import model_digest
from trtforge.scales import Scales

SHA = "a" * 64
# Two convolutions and a product, 16 and 32 channels, random weights; made by nvidia-modelopt 0.47.0:
# modelopt.onnx.quantization.quantize(..., quantize_mode="int8", calibration_method="entropy"), eight clips of
# noise. By default it converts the network to FP16, and quantizes behind the cast of the input.
MODELOPT = Path(__file__).parents[1] / "data/modelopt_int8.onnx"


def clips(num_clips=4):
    rng = np.random.default_rng(1)
    return [{"mel": rng.standard_normal((1, 4, 32), np.float32)} for _ in range(num_clips)]


def quantized(**changes):
    """``y = x`` between a quantizer and a dequantizer; ``changes`` replace scale and zero point."""
    scale = changes.get("scale", np.float32(0.5))
    zero_point = changes.get("zero_point", np.int8(0))
    constants = {"s": scale, "z": zero_point}
    names = ["s", "z"] if zero_point is not None else ["s"]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", *names], ["q"]),
            helper.make_node("DequantizeLinear", ["q", *names], ["y"]),
        ],
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
            if name in names
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def test_modelopts_network_gives_a_scale_for_each_tensor_it_quantizes():
    scales = read_qdq_scales(MODELOPT, SHA)
    model = onnx.load(MODELOPT)
    held = {tensor.name: float(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer
            if tensor.name in ("mel_scale_1", "relu1_scale_1", "rows_scale_1")}  # fmt: skip
    # The input is quantized under the name of its cast to FP16; weights have one scale a channel.
    assert {name: scales[name].scale for name in scales} == pytest.approx(
        {"mel": held["mel_scale_1"], "relu1": held["relu1_scale_1"], "rows": held["rows_scale_1"]}, rel=1e-12
    )
    assert (scales.method, scales.num_clips, scales.model_sha256) == ("qdq", 0, SHA)
    assert scales.feeds_sha256 == model_digest(model)


def test_onnxruntimes_network_gives_the_scales_it_was_quantized_with(tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    model = convolutions(frames=32)
    onnx.save(model, tmp_path / "net.onnx")

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter(clips())

        def get_next(self):
            return next(self.left, None)

    def quantized_by_it(**options):
        quantization.quantize_static(
            str(tmp_path / "net.onnx"),
            str(tmp_path / "qdq.onnx"),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            weight_type=quantization.QuantType.QInt8,
            **options,
        )
        return tmp_path / "qdq.onnx"

    path = quantized_by_it(
        activation_type=quantization.QuantType.QInt8, extra_options={"ActivationSymmetric": True}
    )
    found = read_qdq_scales(path, model_digest(model))
    ours = choose(collect(model, as_feeds(clips()), list(found)), "max")
    assert list(found) == ["mel", "conv"]
    # Its default is the largest magnitude, which ours is by this method.
    assert {name: found[name].amax for name in found} == pytest.approx(
        {name: ours[name].amax for name in found}, rel=1e-6
    )
    with pytest.raises(ScalesError, match="tensor 'mel' is quantized to UINT8, not INT8") as raised:
        read_qdq_scales(quantized_by_it(activation_type=quantization.QuantType.QUInt8), SHA)
    assert raised.value.hint is not None
    assert "activation_type=QuantType.QInt8" in raised.value.hint
    with pytest.raises(ScalesError, match=r"tensor 'mel' has the zero point -?\d+; TensorRT takes symmetric"):
        read_qdq_scales(quantized_by_it(activation_type=quantization.QuantType.QInt8), SHA)


def test_our_own_network_gives_back_the_scales_it_was_made_with(tmp_path):
    model = convolutions(frames=32)
    scales = choose(collect(model, as_feeds(clips()), ["mel"]), "max")
    found = read_qdq_scales(quantize_graph(model, scales, rest="float32"), scales.model_sha256)
    assert {name: found[name].amax for name in found} == pytest.approx(
        {name: scales[name].amax for name in scales}, rel=1e-6
    )
    found.save(tmp_path / "scales.json")
    assert Scales.load(tmp_path / "scales.json") == found


def test_one_pair_by_hand():
    assert read_qdq_scales(quantized(), SHA)["x"].amax == 63.5
    assert read_qdq_scales(quantized(scale=np.array([0.25], np.float32)), SHA)["x"].amax == 31.75


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zero_point": np.int8(3)}, "tensor 'x' has the zero point 3; TensorRT takes symmetric ranges only"),
        ({"zero_point": np.uint8(128)}, "tensor 'x' is quantized to UINT8, not INT8"),
        ({"zero_point": None}, "tensor 'x' is quantized to UINT8, not INT8"),
        (
            {"zero_point": helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, [], [0.0])},
            "tensor 'x' is quantized to FLOAT8E4M3FN, not INT8",
        ),
        (
            {"scale": np.ones(3, np.float32), "zero_point": np.zeros(3, np.int8)},
            "tensor 'x' has 3 scales, one for each channel or block",
        ),
        ({"scale": np.float32(0)}, "the scale of tensor 'x' must be finite and positive, got 0.0"),
        ({"scale": np.float32(np.nan)}, "the scale of tensor 'x' must be finite and positive, got nan"),
    ],
)
def test_what_is_no_int8_range_is_refused(changes, message):
    with pytest.raises(ScalesError, match=message):
        read_qdq_scales(quantized(**changes), SHA)


def test_fp8_says_what_its_scale_means():
    model = quantized(zero_point=helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, [], [0.0]))
    with pytest.raises(ScalesError) as raised:
        read_qdq_scales(model, SHA)
    said = "an FP8 scale maps the largest magnitude to 448; calibrate the network for INT8"
    assert raised.value.hint == said


def test_nvidias_own_fp8_operator_is_fp8():
    model = quantized()
    model.graph.node[0].op_type, model.graph.node[0].domain = "TRT_FP8QuantizeLinear", "trt"
    with pytest.raises(ScalesError, match="tensor 'x' is quantized to FLOAT8E4M3FN, not INT8"):
        read_qdq_scales(model, SHA)


def test_a_scale_that_is_computed_is_refused():
    model = quantized()
    model.graph.node.insert(0, helper.make_node("ReduceMax", ["x"], ["computed"], keepdims=0))
    model.graph.node[1].input[1] = "computed"
    with pytest.raises(ScalesError, match="with a scale that the network computes as it runs"):
        read_qdq_scales(model, SHA)


def test_two_quantizers_of_a_tensor_must_agree():
    model = quantized()
    model.graph.node.append(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["again"]))
    assert list(read_qdq_scales(model, SHA)) == ["x"]
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.75), "other"))
    model.graph.node[-1].input[1] = "other"
    with pytest.raises(ScalesError, match=r"tensor 'x' is quantized with two scales, 0.5 and 0.75"):
        read_qdq_scales(model, SHA)


def test_a_network_without_quantizers_is_refused():
    with pytest.raises(ScalesError, match="the network quantizes no activation"):
        read_qdq_scales(convolutions(), SHA)
