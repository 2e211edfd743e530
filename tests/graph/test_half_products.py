import numpy as np
import onnx
import pytest

from tests.graph.networks import run
from trtforge import lower
from trtforge.graph import kept_float32, prepare, products_in_float16

KEYS = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype(np.float16)
QUERY = np.random.default_rng(1).standard_normal((2, 3, 4, 1)).astype(np.float32)


def network(body: str, outputs: str = "float[b, h, s, n] y") -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> main (float16[b, h, s, d] x, float[b, h, d, n] q) '
        f"=> ({outputs}) {{ {body} }}"
    )
    onnx.checker.check_model(model)
    return model


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def feeds() -> dict[str, np.ndarray]:
    return {"x": KEYS, "q": QUERY}


def test_what_a_product_gives_is_cast_and_not_what_it_reads():
    model = network("wide = Cast <to = 1> (x) y = MatMul (wide, q)")
    made = products_in_float16(model)
    assert kinds(made) == ["Cast", "MatMul", "Cast"]
    assert made.graph.node[0].input[0] == "q"
    assert made.graph.node[1].input[0] == "x"
    assert kinds(model) == ["Cast", "MatMul"]
    onnx.checker.check_model(made, full_check=True)
    want, found = run(model, feeds())["y"], run(made, feeds())["y"]
    np.testing.assert_allclose(found, want, atol=5e-3)
    assert found.dtype == np.float32
    assert products_in_float16(made) is made


def test_two_halves_need_no_cast_and_one_cast_serves_two_products():
    model = network(
        "wide = Cast <to = 1> (x) b = MatMul (wide, q) c = MatMul (wide, q) y = Add (b, c) "
        "flat = Cast <to = 1> (x) a = MatMul (wide, flat)",
        "float[b, h, s, n] y, float[b, h, s, d] a",
    )
    made = products_in_float16(model)
    assert kinds(made).count("Cast") == 4  # of q once, and of three products
    square = {"x": KEYS[:, :, :4], "q": QUERY}
    want, found = run(model, square), run(made, square)
    for name in ("y", "a"):
        np.testing.assert_allclose(found[name], want[name], atol=2e-2)


def test_a_product_that_a_typed_network_computes_in_float32_stays_there():
    model = network(
        "wide = Cast <to = 1> (x) flat = Transpose <perm = [0, 1, 3, 2]> (wide) twice = Add (flat, flat) "
        "scores = MatMul (wide, twice) y = MatMul (scores, wide)"
    )
    typed = lower(model, keep_float32=["scores"])
    assert "scores" in kept_float32(typed)
    assert products_in_float16(typed) is typed


@pytest.mark.parametrize(
    "body",
    [
        "wide = Cast <to = 1> (x) turned = Transpose <perm = [0, 1, 3, 2]> (q) y = MatMul (q, turned)",
        "w = Constant <value = float[4, 2] {1, 2, 3, 4, 5, 6, 7, 8}> () wide = Cast <to = 1> (x) "
        "y = MatMul (wide, w)",
    ],
    ids=["another product", "a weight"],
)
def test_other_products_are_left_as_they_are(body):
    model = prepare(network(body))
    assert products_in_float16(model) is model
