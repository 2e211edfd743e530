"""ONNX Runtime up to 1.23 truncates where QuantizeLinear must round; our sessions round on any version."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trtforge import _ort_rounding
from trtforge._ort import make_session


def quantizer() -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("QuantizeLinear", ["half", "scale", "zero"], ["q"]),
        ],
        "quantizer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("q", TensorProto.INT8, ["n"])],
        [
            numpy_helper.from_array(np.array(0.5, np.float16), "scale"),
            numpy_helper.from_array(np.array(0, np.int8), "zero"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize("truncating", [None, True])
def test_float16_is_rounded_to_nearest(monkeypatch: pytest.MonkeyPatch, truncating: bool | None) -> None:
    pytest.importorskip("onnxruntime")
    if truncating is not None:
        monkeypatch.setattr(_ort_rounding, "truncates", lambda _: truncating)
    model = quantizer()
    before = model.SerializeToString()
    x = np.array([-1.9, -0.4, 0.2, 0.3, 0.74, 0.76, 63.6], np.float32)
    (quantized,) = make_session(model, purpose="test").run(None, {"x": x})
    assert quantized.tolist() == [-4, -1, 0, 1, 1, 2, 127]
    assert model.SerializeToString() == before
