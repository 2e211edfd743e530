from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.engine.networks import conv_net
from trtforge.calibration import parser_names
from trtforge.calibration.carriers import cache_tensors
from trtforge.graph import prepare
from trtforge.model import load_model
from trtforge.nvidia.tensor_names import tensor_names

RECOGNISER = Path(__file__).parents[2] / "examples/models/asr_en/asr_en.onnx"


class FakeNetwork:
    """A parsed network: inputs, and layers of a type, inputs and outputs by name."""

    def __init__(self, inputs, layers):
        self._inputs = [SimpleNamespace(name=name) for name in inputs]
        self._layers = [FakeLayer(*layer) for layer in layers]
        self.num_inputs, self.num_layers = len(inputs), len(layers)

    def get_input(self, index):
        return self._inputs[index]

    def get_layer(self, index):
        return self._layers[index]


class FakeLayer:
    def __init__(self, kind, inputs, outputs):
        self.type, self.name = SimpleNamespace(name=kind), f"{kind.lower()} layer"
        self._inputs = [SimpleNamespace(name=name) for name in inputs]
        self._outputs = [SimpleNamespace(name=name) for name in outputs]
        self.num_inputs, self.num_outputs = len(inputs), len(outputs)

    def get_input(self, index):
        return self._inputs[index]

    def get_output(self, index):
        return self._outputs[index]


def test_values_are_followed_through_layers_that_only_move_them():
    network = FakeNetwork(
        ["mel"],
        [
            ("SHAPE", ["mel"], ["s0"]),
            ("SHUFFLE", ["mel", "s0"], ["s1"]),
            ("UNSQUEEZE", ["s1"], ["s2"]),
            ("CONVOLUTION", ["s2"], ["s3"]),
            ("SQUEEZE", ["s3"], ["s4"]),
            ("SHUFFLE", ["s4"], ["c1"]),
            ("ACTIVATION", ["c1"], ["r1"]),
            ("SHUFFLE", ["r1"], ["r1 again"]),
            ("TOPK", ["r1 again"], ["values", "indices"]),
        ],
    )
    names = tensor_names(network, {"mel", "c1", "r1", "r1 again"})
    assert names == {
        "mel": "mel",
        "s0": "s0",
        "s1": "mel",
        "s2": "mel",
        "s3": "c1",
        "s4": "c1",
        "c1": "c1",
        "r1": "r1",
        "r1 again": "r1 again",
        "values": "values",
        "indices": "indices",
    }
    assert list(names)[:3] == ["mel", "s0", "s1"]


def test_a_range_learned_backwards_is_passed_forwards():
    layers = [("SHUFFLE", ["a"], ["b"]), ("SHUFFLE", ["a"], ["c"])]
    assert tensor_names(FakeNetwork(["x"], layers), {"b"}) == {"x": "x", "b": "b", "c": "b"}


@pytest.mark.parametrize("source", ["conv_net", "recogniser"])
def test_a_real_parser_agrees_with_the_prediction(source):
    trt = pytest.importorskip("tensorrt_rtx")
    model = conv_net() if source == "conv_net" else load_model(RECOGNISER)
    model = prepare(model)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.SerializeToString())
    real = tensor_names(network, cache_tensors(model))
    predicted = parser_names(model)
    # Versions name what they make differently, but make it of the same tensors in the same order.
    made = [own for name, own in real.items() if own != name]
    assert made == [own for name, own in predicted.items() if own != name]
    assert len(made) == 2 * sum(node.op_type == "Conv" for node in model.graph.node)
