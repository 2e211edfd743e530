"""Write 1-D convolutions as 2-D ones of height one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtforge.graph.index import QUANTIZERS, GraphIndex, attribute, behind_quantizers
from trtforge.graph.opset import opset_of
from trtforge.graph.tensor_types import infer_types
from trtforge.model import copy_model

if TYPE_CHECKING:
    import onnx

_HEIGHT_AXIS, _RANK = 2, 3
# From here on Unsqueeze and Squeeze read their axes from an input.
_LEAST_OPSET = 13
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
# Operators that treat every value alike, so that an axis more changes nothing.
_VALUE_BY_VALUE = QUANTIZERS | {
    *("Abs", "Add", "Cast", "Clip", "Div", "Elu", "Erf", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu"),
    *("Max", "Min", "Mul", "Neg", "PRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh"),
}
# Reads constants of one value a channel beside its first input, and takes tensors of any rank.
_NORMALIZATION = "BatchNormalization"
# What an attribute says of the height, put before what it says of the time; pads hold begins, then ends.
_OF_HEIGHT = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1}


def convolutions_in_2d(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give tensors of [batch, channels, time] an axis of height one around convolutions.

    TensorRT 8.6 cannot read a 1-D convolution whose weight is dequantized in the network, and reshapes before
    and after every other one. The axis is put in before the first convolution, or its quantizer, and kept
    through what treats every value of a channel alike, so that no reshaping comes between the operators that
    TensorRT fuses; it is taken out where something else reads.

    Parameters
    ----------
    model : the network; not changed. One of an opset before 13 is left as it is.

    Returns
    -------
    A network with the same inputs, outputs and numbers; the same one where there is nothing to do.
    """
    if opset_of(model) < _LEAST_OPSET:
        return model
    index = GraphIndex(model.graph)
    convolutions = [node for node in index.nodes if is_1d_convolution(node, index)]
    if not convolutions:
        return model
    made = copy_model(model)
    _Lifting(made, {node.output[0] for node in convolutions}).run()
    return made


def is_1d_convolution(node: onnx.NodeProto, index: GraphIndex) -> bool:
    """Say whether a node is a 1-D convolution whose constant weight nothing but convolutions reads."""
    if node.op_type not in _CONVOLUTIONS:
        return False
    root = behind_quantizers(node.input[1], index)
    weight = index.initializers.get(root)
    return weight is not None and len(weight.dims) == _RANK and _is_only_convolved(root, index)


def _is_only_convolved(name: str, index: GraphIndex) -> bool:
    """Say whether nothing but convolutions reads a weight, through quantizers or not."""
    return not index.is_exposed(name) and all(
        _is_only_convolved(reader.output[0], index)
        if reader.op_type in QUANTIZERS
        else reader.op_type in _CONVOLUTIONS and name == reader.input[1]
        for reader in index.readers(name)
    )


def _has_one_value(tensor: onnx.TensorProto) -> bool:
    return int(np.prod(tensor.dims)) == 1


class _Lifting:
    """One walk through the graph in order; ``lifted`` maps a tensor to its twin with the axis."""

    def __init__(self, model: onnx.ModelProto, convolutions: set[str]) -> None:
        self._graph = model.graph
        self._index = GraphIndex(model.graph)
        constants = self._index.initializers
        self._rank3 = {
            name
            for name, found in infer_types(model).items()
            if found.shape is not None and len(found.shape) == _RANK and name not in constants
        }
        self._convolutions = convolutions
        roots = (
            behind_quantizers(node.input[0], self._index)
            for node in self._index.nodes
            if self._is_convolution(node)
        )
        self._roots = set(roots)
        self._lifted: dict[str, str] = {}
        self._constants: dict[str, str] = {}
        self._flat: set[str] = {*self._index.inputs, *self._index.initializers, ""}
        self._nodes: list[onnx.NodeProto] = []
        self._axes = self._index.new_name("height_axis")

    def run(self) -> None:
        """Rewrite the graph in place."""
        import onnx
        from onnx import numpy_helper

        for name in sorted(self._roots & self._index.inputs):
            self._lift(name)
        for node in self._index.nodes:
            if self._is_convolution(node):
                self._convolve(node)
            elif self._is_liftable(node):
                for name in node.input:
                    if name in self._rank3 and name not in self._lifted:
                        self._lift(name)
                self._emit_lifted(node, [self._lifted.get(name) or self._raised(name) for name in node.input])
            else:
                self._emit_flat(node)
        for name in sorted(self._index.outputs):
            self._flatten(name)
        axes = numpy_helper.from_array(np.array([_HEIGHT_AXIS], np.int64), self._axes)
        self._graph.initializer.append(axes)
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self._nodes]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        del self._graph.value_info[:]

    def _is_convolution(self, node: onnx.NodeProto) -> bool:
        return node.op_type in _CONVOLUTIONS and node.output[0] in self._convolutions

    def _is_liftable(self, node: onnx.NodeProto) -> bool:
        """Say whether a node can run with the axis: its inputs have it, can be given it, or need none."""
        if node.op_type == _NORMALIZATION:
            return node.input[0] in self._lifted and len(node.output) == 1
        if node.op_type not in _VALUE_BY_VALUE or not any(name in self._lifted for name in node.input):
            return False
        return all(
            name in self._lifted or name in self._rank3 or self._can_be_raised(name, node)
            for name in node.input
        )

    def _can_be_raised(self, name: str, node: onnx.NodeProto) -> bool:
        tensor = self._index.initializers.get(name)
        if tensor is None:
            return name == ""
        # A quantizer says by an attribute which axis its scales belong to.
        return len(tensor.dims) <= _RANK and (node.op_type not in QUANTIZERS or _has_one_value(tensor))

    def _raised(self, name: str) -> str:
        """Return a constant that broadcasts with the axis as ``name`` does without: the same, or its twin."""
        tensor = self._index.initializers.get(name)
        if tensor is None or len(tensor.dims) < 2 or _has_one_value(tensor):
            return name
        if name not in self._constants:
            twin = self._graph.initializer.add()
            twin.CopyFrom(tensor)
            twin.name = self._constants[name] = self._index.new_name(f"{name}_2d")
            twin.dims.insert(len(tensor.dims) - 1, 1)
        return self._constants[name]

    def _convolve(self, node: onnx.NodeProto) -> None:
        import onnx

        if node.input[0] not in self._lifted:
            self._lift(node.input[0])
        self._raise_weight(behind_quantizers(node.input[1], self._index))
        inputs = [self._lifted[node.input[0]], *node.input[1:]]
        made = onnx.NodeProto()
        made.CopyFrom(node)
        del made.attribute[:]
        for item in node.attribute:
            value = attribute(node, item.name)
            if item.name == "pads":
                value = [0, value[0], 0, value[1]]
            elif item.name in _OF_HEIGHT:
                value = [_OF_HEIGHT[item.name], *value]
            made.attribute.append(onnx.helper.make_attribute(item.name, value))
        self._emit_lifted(made, inputs)

    def _raise_weight(self, name: str) -> None:
        weight = self._index.initializers[name]
        if len(weight.dims) == _RANK:
            weight.dims.insert(_HEIGHT_AXIS, 1)
            # Where weights are inputs that may be given anew, as in networks of IR 3.
            for value in self._graph.input:
                if value.name == name:
                    value.type.tensor_type.shape.Clear()
                    for size in weight.dims:
                        value.type.tensor_type.shape.dim.add().dim_value = size
            self._count_axes_from_the_front(name)

    def _count_axes_from_the_front(self, name: str) -> None:
        """Have quantizers of a weight name their axis as it stays, where they count from the end."""
        for reader in self._index.readers(name):
            if reader.op_type in QUANTIZERS:
                for item in reader.attribute:
                    if item.name == "axis" and item.i < 0:
                        item.i += _RANK
                self._count_axes_from_the_front(reader.output[0])

    def _lift(self, name: str) -> None:
        """Put the axis into a tensor that is there without."""
        twin = self._index.new_name(f"{name}_2d")
        self._add_axis_node("Unsqueeze", name, twin)
        self._lifted[name] = twin

    def _flatten(self, name: str) -> None:
        """Take the axis out of a tensor that is only there with it."""
        if name not in self._flat and name in self._lifted:
            self._add_axis_node("Squeeze", self._lifted[name], name)
            self._flat.add(name)

    def _add_axis_node(self, operator: str, source: str, target: str) -> None:
        import onnx

        name = f"{target}_{operator.lower()}"
        self._nodes.append(onnx.helper.make_node(operator, [source, self._axes], [target], name=name))

    def _emit_lifted(self, node: onnx.NodeProto, inputs: list[str]) -> None:
        import onnx

        made = onnx.NodeProto()
        made.CopyFrom(node)
        made.input[:] = inputs
        twins = [self._index.new_name(f"{name}_2d") if name else "" for name in node.output]
        made.output[:] = twins
        self._nodes.append(made)
        self._lifted.update({name: twin for name, twin in zip(node.output, twins, strict=True) if name})
        for name in node.output:
            if name in self._index.captured:
                self._flatten(name)

    def _emit_flat(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            self._flatten(name)
        self._nodes.append(node)
        self._flat.update(node.output)
        for name in sorted(self._roots & set(node.output)):
            self._lift(name)
