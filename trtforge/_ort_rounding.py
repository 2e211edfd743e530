"""Make FP16 quantizers round to nearest where ONNX Runtime's own do not.

Up to version 1.23, the last for Python 3.10, ONNX Runtime's CPU kernel of ``QuantizeLinear`` truncates FP16
input towards zero where the operator's specification, and TensorRT, round to nearest even. A network would be
judged worse than it is. The installed version is asked by running it, not by its number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trtforge.model import copy_model


def round_to_nearest(model: onnx.ModelProto, onnxruntime: Any) -> onnx.ModelProto:
    """Return the network, its FP16 quantizers computing in FP32 where they would truncate.

    Parameters
    ----------
    model : the network; it is not changed.
    onnxruntime : the imported package.
    """
    scales = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    narrow = [
        node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[1] in scales
    ]
    if not narrow or not truncates(onnxruntime):
        return model
    copy = copy_model(model)
    del copy.graph.node[:]
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[1] in scales:
            wide = onnx.NodeProto()
            wide.CopyFrom(node)
            for position in (0, 1):
                wide.input[position] = f"{node.output[0]}.float32_{position}"
                copy.graph.node.append(
                    helper.make_node(
                        "Cast", [node.input[position]], [wide.input[position]], to=TensorProto.FLOAT
                    )
                )
            copy.graph.node.append(wide)
        else:
            copy.graph.node.append(node)
    return copy


@lru_cache(maxsize=1)
def truncates(onnxruntime: Any) -> bool:
    """Say whether the installed ONNX Runtime quantizes 0.75 steps of FP16 to 0 instead of 1."""
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"])],
        "rounding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1])],
        [helper.make_tensor_value_info("q", TensorProto.INT8, [1])],
        [
            numpy_helper.from_array(np.array(1.0, np.float16), "scale"),
            numpy_helper.from_array(np.array(0, np.int8), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (quantized,) = session.run(None, {"x": np.array([0.75], np.float16)})
    return int(quantized[0]) == 0
