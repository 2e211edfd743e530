import numpy as np

from tests.graph.networks import Net, build_rtx, check, feed, run, snr_db
from trtforge.graph import describe, kept_float32, to_float16


def one_quantizer_for_two(*, added=False):
    """Two quantized products of one tensor, given out or added up."""
    net = Net()
    net.constant("zero", np.int8(0))
    net.constant("step", np.float32(2**-5))
    net.constant("w.step", np.float32(2**-9))
    q = net.node("QuantizeLinear", ["x", "step", "zero"], "x.q")
    x = net.node("DequantizeLinear", [q, "step", "zero"], "x.d")
    for name in ("a", "b"):
        weight = net.constant(f"{name}.q", net.rng.integers(-127, 128, (32, 32)).astype(np.int8))
        wide = net.node("DequantizeLinear", [weight, "w.step", "zero"], f"{name}.d")
        net.node("MatMul", [x, wide], name)
    made = [net.node("Add", ["a", "b"], "y")] if added else ["a", "b"]
    return net.model({"x": ["b", "t", 32]}, {name: ["b", "t", 32] for name in made})


def test_each_precision_reads_a_dequantizer_of_its_own():
    model = one_quantizer_for_two()
    typed = to_float16(model, keep_float32=["a"])
    check(typed)
    makers = {name: node for node in typed.graph.node for name in node.output}
    products = [node for node in typed.graph.node if node.op_type == "MatMul"]
    for node in products:
        assert [makers[name].op_type for name in node.input] == ["DequantizeLinear"] * 2
    first, second = (node.input[0] for node in products)
    assert first != second
    assert makers[first].input[0] == makers[second].input[0] == "x.q"
    assert set(describe(typed).counts) == {"int8"}
    arrays = feed(model)
    expected, got = run(model, arrays), run(typed, arrays)
    for name in ("a", "b"):
        assert snr_db(expected[name], got[name]) > 45.0
    assert build_rtx(typed) > 1000


def test_dequantizers_that_only_float32_reads_stay_so():
    typed = to_float16(one_quantizer_for_two(), keep_float32=["a", "b"])
    kept = kept_float32(typed)
    assert {kept[name] for name in ("x.d", "a.d", "b.d")} == {"what it dequantizes for is computed in FP32"}
    assert {kept[name] for name in ("a", "b")} == {"asked for"}


def test_nothing_is_split_where_all_agree():
    model = one_quantizer_for_two()
    assert describe(to_float16(model)).num_dequantizers == describe(model).num_dequantizers == 3
    assert describe(to_float16(model, keep_float32=["a"])).num_dequantizers == 4
