"""Networks for tests of serving: small ones, and a lighter one in place of the bundled recogniser."""

import numpy as np
import onnx
import onnx.parser
from onnx import helper, numpy_helper

from tests.bundled import MODEL
from trtforge import CtcDecoder, LogMel, OnnxRunner
from trtforge.model import load_model
from trtforge.runtime import BatchingRule, Bucket
from trtforge.serving import Arrays, ServedModel, Transcription


def lighter_recogniser(channels=16, seed=0):
    """Return a network of random weights with the bundled recogniser's input, output and metadata."""
    random = np.random.default_rng(seed)
    first = random.normal(0, 0.05, (channels, 80, 5)).astype(np.float32)
    second = random.normal(0, 0.2, (29, channels, 1)).astype(np.float32)
    graph = onnx.parser.parse_graph("""
        lighter (float[batch, 80, frames] mel) => (float[batch, time, 29] logits) {
            a = Conv<kernel_shape = [5], pads = [2, 2], strides = [2]>(mel, first)
            b = Relu(a)
            c = Conv<kernel_shape = [1]>(b, second)
            logits = Transpose<perm = [0, 2, 1]>(c)
        }
    """)
    graph.initializer.extend(
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.extend(load_model(MODEL).metadata_props)
    onnx.checker.check_model(model)
    return model


def recogniser(name, model, *, sink=None, max_rows=4, max_frames=700):
    """Return a served recogniser on the CPU."""
    task = Transcription(LogMel.for_model(model), CtcDecoder.for_model(model))
    rule = BatchingRule((Bucket(max_frames, max_rows),), max_wait=0.01)
    return ServedModel(name, OnnxRunner(model, num_threads=1), task, rule, sink=sink)


class Scripted:
    """A runner of one input that doubles it, and does first what a test says."""

    def __init__(self, before=lambda rows: None, scale=2.0):
        self.before, self.scale, self.closed = before, scale, False
        self.inputs = OnnxRunner(DOUBLE).inputs

    def __call__(self, arrays):
        rows = arrays["x"]
        self.before(rows)
        return {"y": rows * self.scale}

    def close(self):
        self.closed = True


DOUBLE = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    double (float[batch, 2, frames] x) => (float[batch, 2, frames] y) { y = Add(x, x) }
""")


def doubler(name="double", before=lambda rows: None, *, sink=None, max_rows=4, scale=2.0):
    """Return a served network on arrays [2, frames], driven by a script."""
    rule = BatchingRule((Bucket(8, max_rows),), max_wait=0.0)
    return ServedModel(name, Scripted(before, scale), Arrays("x"), rule, sink=sink)
