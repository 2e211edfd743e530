"""Make ONNX Runtime sessions: the one place that sets their options."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from trtforge._optional import require
from trtforge.errors import ModelError

if TYPE_CHECKING:
    import onnx


def make_session(model: onnx.ModelProto, *, purpose: str, num_threads: int | None = None) -> Any:
    """Load a network into an ``onnxruntime.InferenceSession`` on the CPU.

    Parameters
    ----------
    model : the network; up to 2 GiB serialized.
    purpose : what it is for, named if ONNX Runtime is not installed.
    num_threads : threads inside an operator; all usable cores by default.

    Raises
    ------
    MissingExtraError : ONNX Runtime is not installed.
    ModelError : ONNX Runtime cannot load the network.
    """
    onnxruntime = require("onnxruntime", purpose)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    if _computes_in_float16(model):
        # Fusions beyond the basic ones may have no FP16 kernel, or crash the process (MatmulTransposeFusion).
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the bindings raise their own unexported kinds
        raise ModelError(f"ONNX Runtime cannot load the network: {error}") from error


def _computes_in_float16(model: onnx.ModelProto) -> bool:
    import onnx

    half = onnx.TensorProto.FLOAT16
    return any(value.type.tensor_type.elem_type == half for value in model.graph.input) or any(
        node.op_type == "Cast" and any(item.name == "to" and item.i == half for item in node.attribute)
        for node in model.graph.node
    )
