"""Write an ONNX graph node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx


class GraphBuilder:
    """Nodes and random weights of a graph, in the order of computation."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = rng
        self._made: set[str] = set()

    def node(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node named as its output; return the output."""
        import onnx

        self.nodes.append(onnx.helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: np.ndarray[Any, Any]) -> str:
        """Keep an array under its name, once."""
        import onnx

        if name not in self._made:
            self._made.add(name)
            self.weights.append(onnx.numpy_helper.from_array(values, name))
        return name

    def weight(self, name: str, shape: tuple[int, ...], fan_in: int) -> str:
        """Draw a Gaussian weight of variance 1 / fan_in."""
        values = self._rng.standard_normal(shape, np.float32)
        values *= fan_in**-0.5
        return self.constant(name, values)

    def linear(self, rows: str, name: str, taken: int, given: int, *, bias: bool = True) -> str:
        """Multiply rows [..., taken] by a weight [taken, given], and add a bias."""
        product = self.node("MatMul", [rows, self.weight(f"{name}.weight", (taken, given), taken)], name)
        if not bias:
            return product
        return self.node("Add", [product, self.weight(f"{name}.bias", (given,), taken)], f"{name}.biased")

    def norm(self, rows: str, name: str, width: int) -> str:
        """Normalise the last axis (`LayerNormalization`)."""
        gain = self.constant(f"{name}.gain", np.ones(width, np.float32))
        shift = self.constant(f"{name}.shift", np.zeros(width, np.float32))
        return self.node("LayerNormalization", [rows, gain, shift], name, axis=-1)

    def gelu(self, rows: str, name: str) -> str:
        """Apply the Gaussian error linear unit, spelled out with Erf."""
        root = self.constant("root_of_half", np.array(0.5**0.5, np.float32))
        erf = self.node("Erf", [self.node("Mul", [rows, root], f"{name}.scaled")], f"{name}.erf")
        one, half = (self.constant(str(value), np.array(value, np.float32)) for value in (1.0, 0.5))
        share = self.node("Add", [erf, one], f"{name}.shifted")
        return self.node("Mul", [self.node("Mul", [rows, share], f"{name}.double"), half], name)

    def heads(
        self, rows: str, name: str, width: int, num_heads: int, *, key_bias: bool = True
    ) -> dict[str, str]:
        """Map rows [batch, length, width] to query, key and value by head; the key has its length last."""
        split = self.constant("split_heads", np.array([0, 0, num_heads, width // num_heads], np.int64))
        parts = {}
        for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            linear = self.linear(rows, f"{name}.{part}", width, width, bias=key_bias or part != "key")
            shaped = self.node("Reshape", [linear, split], f"{name}.{part}.split")
            parts[part] = self.node("Transpose", [shaped], f"{name}.{part}.heads", perm=perm)
        return parts

    def merge_heads(self, context: str, name: str, width: int) -> str:
        """Map [batch, heads, length, width / heads] to rows [batch, length, width]."""
        rows = self.node("Transpose", [context], f"{name}.rows", perm=[0, 2, 1, 3])
        merge = self.constant("merge_heads", np.array([0, 0, width], np.int64))
        return self.node("Reshape", [rows, merge], f"{name}.merged")


def float_value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """Describe a float32 input or output."""
    import onnx

    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
