"""Infer the shapes and types of a network's activations without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from trtforge.model import inference_opsets, model_inputs

if TYPE_CHECKING:
    import onnx

Shape: TypeAlias = "tuple[int, ...]"

# Shape inference needs the values of small constants (axes, target shapes), of weights only their shapes.
_MAX_KEPT_ELEMENTS = 64


class ShapeInference:
    """What ONNX shape inference says of a network's tensors, for given shapes of its inputs.

    Parameters
    ----------
    model : the network; only its structure and small constants are kept.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._skeleton = _skeleton(model)
        self._inputs = {spec.name for spec in model_inputs(model)}
        self._symbolic = _infer(self._skeleton) or {}

    @property
    def values(self) -> Mapping[str, onnx.ValueInfoProto]:
        """Name to type and shape, dynamic axes left open; what inference cannot type is absent."""
        return self._symbolic

    def shapes(self, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
        """Return the shapes that are fully known for these shapes of the inputs, which are among them.

        Parameters
        ----------
        inputs : shapes of all inputs of the network; all there is where inference cannot follow the network.
        """
        for value in self._skeleton.graph.input:
            if value.name in inputs and value.name in self._inputs:
                kind = value.type.tensor_type
                kind.ClearField("shape")
                # Without an axis the field would stay unset, which means any rank.
                kind.shape.SetInParent()
                for size in inputs[value.name]:
                    kind.shape.dim.add().dim_value = size
        shapes = dict(inputs)
        for name, value in (_infer(self._skeleton) or {}).items():
            kind = value.type.tensor_type
            if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
                shapes[name] = tuple(dim.dim_value for dim in kind.shape.dim)
        return shapes

    def sizes(self, inputs: Mapping[str, Shape]) -> dict[str, int]:
        """Return the sizes in bytes that are known for these shapes of the inputs.

        Parameters
        ----------
        inputs : as for `shapes`.
        """
        return {
            name: int(np.prod(shape, dtype=np.float64)) * self._item_bytes(name)
            for name, shape in self.shapes(inputs).items()
        }

    def _item_bytes(self, name: str) -> int:
        import onnx

        if name not in self._symbolic:
            return np.dtype(np.float32).itemsize
        kind = self._symbolic[name].type.tensor_type.elem_type
        return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy the graph without weights, intermediate shapes and output shapes."""
    import onnx

    skeleton = onnx.ModelProto()
    skeleton.ir_version = model.ir_version
    skeleton.opset_import.extend(inference_opsets(model))
    skeleton.functions.extend(model.functions)
    graph = skeleton.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    constants = {tensor.name for tensor in model.graph.initializer}
    graph.input.extend(value for value in model.graph.input if value.name not in constants)
    graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in model.graph.output)
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims, dtype=np.int64) <= _MAX_KEPT_ELEMENTS:
            graph.initializer.append(tensor)
        else:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return skeleton


def _infer(skeleton: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto] | None:
    """Return every value that has a tensor type, or None where inference cannot follow the graph."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
    except Exception:  # a graph that inference cannot follow; callers fall back on what they know
        return None
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value for value in values if value.type.tensor_type.elem_type}
