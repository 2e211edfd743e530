from pathlib import Path

import numpy as np
import onnx

from tests.bench.made import small_network
from trtforge.bench.tensorrt_backend import network_for
from trtforge.nvidia.v8 import V8
from trtforge.nvidia.v10 import V10
from trtforge.nvidia.v11 import V11
from trtforge.pipeline import calibrate


def test_int8_has_float16_in_between_where_the_types_decide(tmp_path: Path) -> None:
    plain = small_network(tmp_path)
    noise = np.random.default_rng(0).standard_normal((2, 80, 40)).astype(np.float32)
    scales = calibrate(plain, [{"mel": noise}], method="max")
    for flavor in (V8("8.6.0"), V10("10.16.1")):
        assert network_for(flavor, "q.onnx", str(plain), scales) == "q.onnx"
    assert network_for(V11("11.4.0"), "q.onnx", None, None) == "q.onnx"
    typed = network_for(V11("11.4.0"), "q.onnx", str(plain), scales)
    assert isinstance(typed, onnx.ModelProto)
    types = {tensor.name: tensor.data_type for tensor in typed.graph.initializer}
    pairs = [node for node in typed.graph.node if node.op_type == "QuantizeLinear"]
    assert len(pairs) == 2
    assert {types[node.input[1]] for node in pairs} == {onnx.TensorProto.FLOAT16}
