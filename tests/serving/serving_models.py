"""Networks for tests of serving: small ones, and a lighter one in place of the bundled recogniser."""

import onnx.parser

from benchmarks.serving.lighter import lighter_recogniser as stand_in
from tests.bundled import MODEL
from trtforge import CtcDecoder, LogMel, OnnxRunner
from trtforge.runtime import BatchingRule, Bucket
from trtforge.serving import Arrays, ServedModel, Transcription


def lighter_recogniser():
    """Return the benchmark's stand-in for a lighter recogniser, a small one."""
    return stand_in(MODEL, channels=16)


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
