from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from trtforge import external_data
from trtforge.errors import CalibrationError
from trtforge.nvidia import large_networks
from trtforge.nvidia.observing import expose_tensors
from trtforge.nvidia.v8 import V8
from trtforge.nvidia.v11 import V11

TRT = SimpleNamespace(DataType=SimpleNamespace(HALF="half"))


class Network:
    """Layers that make the tensors ``a``, ``b`` (an output) and ``n`` (of integers)."""

    def __init__(self):
        self.outputs, self.debug, self.refuses = [], [], False
        self.tensors = [
            SimpleNamespace(name=name, dtype=SimpleNamespace(name=dtype), is_network_output=name == "b")
            for name, dtype in (("a", "FLOAT"), ("b", "FLOAT"), ("n", "INT32"))
        ]
        self.num_layers = len(self.tensors)

    def get_layer(self, index):
        return SimpleNamespace(num_outputs=1, get_output=lambda position: self.tensors[index])

    def mark_output(self, tensor):
        self.outputs.append(tensor.name)

    def mark_debug(self, tensor):
        self.debug.append(tensor.name)
        return not self.refuses


@pytest.mark.parametrize("half", [False, True])
def test_8_6_marks_outputs(half):
    network = Network()
    expose_tensors(V8("8.6.0"), TRT, network, ["a", "b"], half=half)
    assert (network.outputs, network.debug) == (["a"], [])
    assert (network.tensors[0].dtype == "half") is half
    assert network.tensors[1].dtype.name == "FLOAT"


def test_later_ones_mark_debug_tensors():
    network = Network()
    expose_tensors(V11("11.4.0"), TRT, network, ["a", "b"], half=False)
    assert (network.outputs, network.debug) == ([], ["a"])
    network.refuses = True
    with pytest.raises(CalibrationError, match=r"tensorrt 11.4.0 refuses to show tensor 'a'"):
        expose_tensors(V11("11.4.0"), TRT, network, ["a"], half=False)


def test_what_cannot_be_observed_is_named():
    with pytest.raises(CalibrationError, match=r"keeps 1 of 2 tensors under no name .* the first 'c'"):
        expose_tensors(V8("8.6.0"), TRT, Network(), ["a", "c"], half=False)
    with pytest.raises(CalibrationError, match="tensor 'n' cannot be observed: it is int32"):
        expose_tensors(V8("8.6.0"), TRT, Network(), ["n"], half=False)


def test_a_large_network_is_read_from_files(monkeypatch):
    weights = np.arange(1000, dtype=np.float32)
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> net (float[1000] x) => (float[1000] y) { y = Mul(x, w) }'
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    before = model.SerializeToString()
    seen = []

    class Parser:
        def parse(self, content):
            seen.append(content)
            return True

        def parse_from_file(self, path):
            seen.append(onnx.load(path))
            return True

    assert large_networks.parse_network(Parser(), model)
    monkeypatch.setattr(external_data, "MAX_BYTES", 100)
    assert large_networks.parse_network(Parser(), model)
    assert seen[0] == before == model.SerializeToString()
    (read,) = seen[1].graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(read), weights)
    assert seen[1].graph.node == model.graph.node
