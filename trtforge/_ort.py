"""Make ONNX Runtime sessions: the one place that sets their options."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtforge._optional import require
from trtforge.errors import ModelError
from trtforge.external_data import fits_one_file, save_model

if TYPE_CHECKING:
    import onnx

_FATAL = 4
_KIND = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_NODE = re.compile(r"^Non-zero status code returned while running (\S+) node\. Name:'(.*?)' Status Message: ")
# A line of ONNX Runtime's source, the function that it stands in, and the condition that it checks.
_PLACE = re.compile(r"^\S+:\d+ \S.*?\)(?: const)? (?:.*? was false\. ?(?=\S))?")


def make_session(
    model: onnx.ModelProto, *, purpose: str, num_threads: int | None = None, in_turns: bool = False
) -> Any:
    """Load a network into an ``onnxruntime.InferenceSession`` on the CPU.

    Parameters
    ----------
    model : the network; one too large to be serialized goes through files in a temporary folder.
    purpose : what it is for, named if ONNX Runtime is not installed.
    num_threads : threads inside an operator; all usable cores by default.
    in_turns : the session takes turns with other sessions, whose memory it shares inside `shared_memory`, and
        with other threads, to which it leaves the cores between two runs.

    Raises
    ------
    MissingExtraError : ONNX Runtime is not installed.
    ModelError : ONNX Runtime cannot load the network.
    """
    onnxruntime = require("onnxruntime", purpose)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or len(os.sched_getaffinity(0))
    # Errors come as exceptions; the log would say them a second time, to standard error.
    options.log_severity_level = _FATAL
    left_out: list[str] = []
    if in_turns:
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A pattern keeps one block for all activations of a session, used or not.
        options.enable_mem_pattern = False
    if _computes_in_float16(model):
        from trtforge import _ort_rounding

        # Fusions beyond the basic ones may have no FP16 kernel, or crash the process (MatmulTransposeFusion).
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        # It quantizes biases by the product of two scales, which FP16 rounds coarsely or to zero.
        left_out.append("WeightBiasQuantization")
        model = _ort_rounding.round_to_nearest(model, onnxruntime)
    try:
        if fits_one_file(model):
            return _load(onnxruntime, model.SerializeToString(), options, left_out)
        with tempfile.TemporaryDirectory(prefix="trtforge-") as folder:
            path = Path(folder) / "network.onnx"
            save_model(model, path)
            return _load(onnxruntime, str(path), options, left_out)
    except Exception as error:  # the bindings raise their own unexported kinds
        raise ModelError(f"ONNX Runtime cannot load the network: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return what an error of ONNX Runtime says, on one line and without places in ONNX Runtime's source."""
    text = _KIND.sub("", " ".join(str(error).split()))
    node = _NODE.match(text)
    if node is None:
        return text
    name = f" {node[2]!r}" if node[2] else ""
    return f"{node[1]}{name}: {_PLACE.sub('', text[node.end() :])}"


def _load(onnxruntime: Any, network: bytes | str, options: Any, left_out: list[str]) -> Any:
    return onnxruntime.InferenceSession(
        network, sess_options=options, providers=["CPUExecutionProvider"], disabled_optimizers=left_out
    )


@contextmanager
def shared_memory() -> Iterator[None]:
    """Let the sessions made inside with ``in_turns`` draw on one pool of memory, let go on leaving.

    Each session otherwise keeps the most that it ever needed. The pool grows by what is asked for, not by
    powers of two. Sessions must not outlive the block for the memory to be returned.

    Raises
    ------
    MissingExtraError : ONNX Runtime is not installed.
    """
    _register_pool()
    try:
        yield
    finally:
        # A fresh, empty pool takes the place of the used one, which goes with its last session.
        _register_pool()


def _register_pool() -> None:
    onnxruntime = require("onnxruntime", "share memory among sessions")
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    as_requested = onnxruntime.OrtArenaCfg(
        {
            "max_mem": 0,
            "arena_extend_strategy": 1,
            "initial_chunk_size_bytes": -1,
            "max_dead_bytes_per_chunk": -1,
        }
    )
    try:
        onnxruntime.create_and_register_allocator(memory, as_requested)
    except Exception as error:  # the bindings raise their own unexported kinds
        # Some releases keep the first pool for good, which serves as well.
        if "already" not in str(error):
            raise


def _computes_in_float16(model: onnx.ModelProto) -> bool:
    import onnx

    half = onnx.TensorProto.FLOAT16
    constants = {tensor.name for tensor in model.graph.initializer if tensor.data_type == half}
    return any(value.type.tensor_type.elem_type == half for value in model.graph.input) or any(
        any(item.name == "to" and item.i == half for item in node.attribute)
        if node.op_type == "Cast"
        else not constants.isdisjoint(node.input)
        for node in model.graph.node
    )
