import numpy as np
import pytest
from onnx import TensorProto

from tests.graph.networks import (
    Net,
    build_rtx,
    check,
    feed,
    image_net,
    max_scales,
    quartznet,
    run,
    run_exactly,
    snr_db,
    transformer_block,
)
from tests.graph.overflowing import overflowing
from trtforge.errors import ModelError, QuantizationError
from trtforge.graph import (
    describe,
    kept_float32,
    prepare,
    quantize_graph,
    tensors_to_observe,
    to_bfloat16,
    to_float16,
    widen_bfloat16,
    widen_float16,
)
from trtforge.runtime import OnnxRunner


@pytest.mark.parametrize(
    ("make", "opset", "float32"),
    [(quartznet, 22, set()), (image_net, 22, {"up"}), (transformer_block, 17, set())],
)
def test_close_to_float32_and_builds(make, opset, float32):
    model = prepare(make())
    before = model.SerializeToString()
    typed = to_bfloat16(model)
    check(typed)
    assert model.SerializeToString() == before
    summary = describe(typed)
    assert summary.opset == opset
    assert {layer.name for layer in summary.layers if layer.precision != "bfloat16"} == float32
    assert {spec.dtype for spec in summary.inputs + summary.outputs} == {"float32"}
    arrays = feed(model)
    expected = run(model, arrays)
    with OnnxRunner(typed, num_threads=1) as runner:
        got = runner.run(arrays)
    for name in expected:
        assert got[name].dtype == np.float32
        assert 40.0 < snr_db(expected[name], got[name]) < 60.0
    assert build_rtx(typed) > 10_000


@pytest.mark.parametrize("make", [quartznet, image_net, transformer_block])
def test_rounding_in_onnx_runtime_is_as_good_as_the_reference_in_numpy(make):
    model = prepare(make())
    typed = to_bfloat16(model)
    arrays = feed(model)
    widened = widen_bfloat16(typed)
    check(widened)
    got, exact = run(widened, arrays), run_exactly(typed, arrays)
    for name, expected in run(model, arrays).items():
        assert abs(snr_db(expected, got[name]) - snr_db(expected, exact[name])) < 6.0


def test_every_result_is_a_bfloat16_number():
    net = Net()
    net.node("Identity", [net.node("MatMul", ["x", net.normal("w", 16, 16)], "product")], "y")
    typed = to_bfloat16(net.model({"x": ["b", 16]}, {"y": ["b", 16]}))
    (y,) = run(widen_bfloat16(typed), feed(typed)).values()
    assert y.any()
    assert not (np.ascontiguousarray(y).view(np.uint32) & 0xFFFF).any()


def test_float16_is_rounded_in_the_same_way_and_shows_its_overflow():
    for make in (quartznet, transformer_block):
        model = prepare(make())
        typed, arrays = to_float16(model), feed(make())
        widened = widen_float16(typed)
        check(widened)
        got, exact = run(widened, arrays), run_exactly(typed, arrays)
        for name, expected in run(model, arrays).items():
            assert abs(snr_db(expected, got[name]) - snr_db(expected, exact[name])) < 6.0
    net = Net()
    net.node(
        "MatMul",
        [net.node("Mul", ["x", net.constant("c", np.float32(300))], "large"), net.normal("w", 4, 4)],
        "y",
    )
    model = net.model({"x": ["b", 4]}, {"y": ["b", 4]})
    x = np.full((1, 4), 1000, np.float32)
    assert np.isfinite(run(to_float16(model), {"x": x})["y"]).all()
    assert not np.isfinite(run(widen_float16(to_float16(model)), {"x": x})["y"]).any()


def test_what_overflows_float16_does_not_overflow_bfloat16():
    model = overflowing()
    typed = to_bfloat16(model)
    assert kept_float32(typed) == {}
    arrays = feed(model)
    assert snr_db(run(model, arrays)["y"], run(widen_bfloat16(typed), arrays)["y"]) > 40.0


def test_a_mask_near_the_end_of_float32_does_not_become_infinite():
    net = Net()
    lowest = net.constant("lowest", np.finfo(np.float32).min)
    net.node("Softmax", [net.node("Where", ["mask", "x", lowest], "masked")], "y", axis=-1)
    model = net.model({"x": ["b", 4], "mask": (TensorProto.BOOL, ["b", 4])}, {"y": ["b", 4]})
    typed = to_bfloat16(model)
    assert kept_float32(typed)["masked"] == "BF16 cannot hold its constant 'lowest'"
    got = run(widen_bfloat16(typed), {"x": np.zeros((1, 4), np.float32), "mask": np.zeros((1, 4), bool)})["y"]
    np.testing.assert_allclose(got, np.full((1, 4), 0.25))


def test_an_operator_that_no_opset_has_in_bfloat16_stays_float32():
    net = Net()
    net.node("Relu", [net.node("Einsum", ["x", "x"], "gram", equation="bi,bj->ij")], "y")
    typed = to_bfloat16(net.model({"x": ["b", 4]}, {"y": [4, 4]}))
    check(typed)
    assert describe(typed).opset == 17
    assert kept_float32(typed) == {"gram": "Einsum does not take BF16 here"}


def test_quantized_networks_are_refused():
    model = prepare(quartznet())
    quantized = quantize_graph(model, max_scales(model, tensors_to_observe(model)), rest="float32")
    with pytest.raises(
        QuantizationError, match=r"the network is quantized: .* is a QuantizeLinear, and the 8 bits"
    ):
        to_bfloat16(quantized)


def test_inputs_and_outputs_follow_where_asked_and_are_refused_by_onnx_runtime():
    typed = to_bfloat16(prepare(quartznet()), keep_io=False)
    check(typed)
    kinds = {value.type.tensor_type.elem_type for value in [*typed.graph.input, *typed.graph.output]}
    assert kinds == {TensorProto.BFLOAT16}
    assert build_rtx(typed) > 10_000
    with pytest.raises(
        ModelError, match="'mel' is BF16, and ONNX Runtime takes and gives no BF16 arrays"
    ) as caught:
        OnnxRunner(typed)
    assert "keep_io=True" in str(caught.value)


def test_networks_without_bfloat16_are_returned_as_they_are():
    model = quartznet()
    assert widen_bfloat16(model) is model
