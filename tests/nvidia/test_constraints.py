"""What is asked of the layers of a weakly typed network."""

from types import SimpleNamespace

import pytest

from tests.nvidia.vendor_surface import surface
from trtforge.errors import ConfigError
from trtforge.nvidia.constraints import _LEFT_ALONE, prefer_float16
from trtforge.nvidia.options import check_options
from trtforge.nvidia.selection import flavor_for

KINDS = (
    "CAST CONSTANT CONVOLUTION DEQUANTIZE ELEMENTWISE IDENTITY MATRIX_MULTIPLY NORMALIZATION QUANTIZE REDUCE "
    "SHAPE SHUFFLE SOFTMAX UNARY"
)
TRT = SimpleNamespace(
    LayerType=SimpleNamespace(**{name: name for name in KINDS.split()}),
    DataType=SimpleNamespace(FLOAT="FLOAT", HALF="HALF"),
)


class Layer:
    def __init__(self, kind, read, made, dtype="FLOAT"):
        self.type, self.precision, self._read = kind, None, read
        self._made = SimpleNamespace(name=made, dtype=dtype, is_shape_tensor=False)
        self.num_inputs, self.num_outputs = len(read), 1

    def get_input(self, index):
        return SimpleNamespace(name=self._read[index])

    def get_output(self, index):
        return self._made


def test_what_int8_does_not_reach_is_set():
    layers = [
        Layer("QUANTIZE", ["x"], "q", "INT8"),
        Layer("DEQUANTIZE", ["q"], "dq"),
        Layer("SHUFFLE", ["dq"], "folded"),
        Layer("CONVOLUTION", ["folded"], "c"),
        Layer("SHUFFLE", ["c"], "unfolded"),
        Layer("MATRIX_MULTIPLY", ["unfolded", "unfolded"], "scores"),
        Layer("SOFTMAX", ["scores"], "shares"),
        Layer("ELEMENTWISE", ["n", "m"], "length", "INT32"),
        Layer("ELEMENTWISE", ["shares", "c"], "y"),
    ]
    network = SimpleNamespace(num_layers=len(layers), get_layer=lambda index: layers[index])
    assert prefer_float16(TRT, network) == 3
    assert [layer.type for layer in layers if layer.precision == "HALF"] == [
        "SHUFFLE",
        "MATRIX_MULTIPLY",
        "ELEMENTWISE",
    ]
    assert (layers[2].precision, layers[3].precision, layers[7].precision) == (None, None, None)


@pytest.mark.parametrize("version", ["8.6.0", "10.16.1"])
def test_the_kinds_of_layers_exist(version):
    members = surface(flavor_for("tensorrt", version))["LayerType"]["members"]
    assert set(_LEFT_ALONE) <= set(members)


def test_strongly_typed_networks_have_their_types():
    v10 = flavor_for("tensorrt", "10.16.1")
    check_options(v10, {"prefer_float16": True})
    with pytest.raises(ConfigError, match="the types of a strongly typed network decide already"):
        check_options(v10, {"prefer_float16": True, "strongly_typed": True})
    with pytest.raises(ConfigError, match=r"prefer_float16: tensorrt_rtx .* has no such option"):
        check_options(flavor_for("tensorrt_rtx", "1.7.1"), {"prefer_float16": True})
