import numpy as np
import onnx.parser
import pytest

from tests.engine.networks import conv_net
from trtforge.errors import ExecutionError, InputError, ModelError
from trtforge.runtime import OnnxRunner

pytest.importorskip("onnxruntime")
MEL = np.random.default_rng(1).standard_normal((2, 4, 16)).astype(np.float32)


def by_hand(mel):
    """The network of ``conv_net`` in NumPy."""
    constants = conv_net().graph.initializer
    weights = {tensor.name: np.frombuffer(tensor.raw_data, np.float32) for tensor in constants}

    def conv(x, w):
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1)))
        windows = np.stack([padded[:, :, k : k + x.shape[2]] for k in range(3)], axis=-1)
        return np.einsum("bitk,oik->bot", windows, w)

    hidden = np.maximum(conv(mel, weights["w1"].reshape(8, 4, 3)), 0)
    return conv(hidden, weights["w2"].reshape(5, 8, 3)) + weights["b2"][:, None]


def test_it_runs_the_network(tmp_path):
    (tmp_path / "net.onnx").write_bytes(conv_net().SerializeToString())
    with OnnxRunner(tmp_path / "net.onnx", num_threads=1) as runner:
        result = runner.run({"mel": MEL})
        assert list(result) == ["logits"]
        np.testing.assert_allclose(result["logits"], by_hand(MEL), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(runner({"mel": MEL[:1]})["logits"], result["logits"][:1])
    with pytest.raises(ExecutionError, match="the runner is closed"):
        runner.run({"mel": MEL})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"takes inputs \['mel'\], got \[\]; missing \['mel'\]"),
        ({"mle": MEL}, r"got \['mle'\]; missing \['mel'\]; unknown \['mle'\]"),
        ({"mel": MEL.tolist()}, r"'mel' must be a NumPy array, got list; wanted mel: float32"),
        ({"mel": MEL[0]}, r"input 'mel' has shape \(4, 16\), wanted mel: float32 \[batch, 4, frames\]"),
        ({"mel": MEL[:, :3]}, r"input 'mel' has shape \(2, 3, 16\), wanted"),
        ({"mel": MEL.astype(np.float64)}, r"has dtype float64, .*\n.*convert it with array.astype\('float32"),
        ({"mel": MEL.astype(">f4")}, "has dtype >f4, wanted"),
    ],
)
def test_inputs_that_do_not_fit_are_named(arrays, message):
    with pytest.raises(InputError, match=message):
        OnnxRunner(conv_net()).run(arrays)


def test_axes_of_one_name_must_agree():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 4] x, float[batch, 1] n) => (float[batch, 4] y) { y = Add(x, n) }
    """)
    runner = OnnxRunner(model)
    with pytest.raises(InputError, match=r"axis 0 \(batch\) of input 'n' is 1, but axis 0 of 'x' has"):
        runner.run({"x": np.ones((2, 4), np.float32), "n": np.ones((1, 1), np.float32)})  # would broadcast
    assert runner.run({"x": np.ones((2, 4), np.float32), "n": np.ones((2, 1), np.float32)})["y"].sum() == 16


def test_a_network_that_is_not_there():
    with pytest.raises(ModelError, match=r"no ONNX file at absent.onnx"):
        OnnxRunner("absent.onnx")


def test_a_failure_inside_names_the_shapes():
    model = conv_net()
    model.graph.node[0].attribute[0].ints[:] = [0, 0]
    runner = OnnxRunner(model)
    with pytest.raises(ExecutionError, match=r"ONNX Runtime failed on mel \(1, 4, 1\): "):
        runner.run({"mel": MEL[:1, :, :1]})
