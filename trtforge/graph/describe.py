"""Say what a typed graph asks for: precision by layer, quantizers, size, inputs and outputs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trtforge.graph.index import GraphIndex, count_inside, label
from trtforge.graph.notes import RAISED_KEY, read_note
from trtforge.graph.opset import opset_of
from trtforge.graph.precision import kept_float32
from trtforge.graph.rules.reshape import RESHAPES
from trtforge.graph.tensor_types import ValueType, infer_types
from trtforge.model import TensorSpec, model_inputs, model_outputs

if TYPE_CHECKING:
    import onnx

# Operators that multiply; position of the data input and of the weight or second factor.
_COMPUTE = frozenset({"Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"})
# What a quantizer commutes with: INT8 values pass through unchanged.
_LAYOUT = RESHAPES | {"MaxPool", "Slice"}


@dataclass(frozen=True)
class LayerPrecision:
    """What the graph asks of one compute layer.

    Parameters
    ----------
    name : the node's name, or else its output.
    op_type : its operator.
    precision : dtype it multiplies in: ``int8`` where all its factors are dequantized from INT8, else the
        dtype of its input, ``float16`` or ``float32`` say; ``unknown`` where types cannot be inferred.
    weight_dtype : dtype in which its second factor is stored, or comes where it is computed.
    num_parameters : number of elements of its constant weight, without bias.
    """

    name: str
    op_type: str
    precision: str
    weight_dtype: str
    num_parameters: int

    @property
    def stored_narrow(self) -> str | None:
        """What the weight is stored in, where that is INT8 or INT4 and the layer multiplies in more."""
        is_narrow = self.weight_dtype in ("int4", "int8") and self.precision != self.weight_dtype
        return self.weight_dtype if is_narrow else None


@dataclass(frozen=True)
class GraphSummary:
    """What a graph says of itself; what an engine built of it really runs is another question.

    Parameters
    ----------
    opset : version of the default operator set.
    inputs, outputs : the network's interface.
    num_nodes : number of nodes.
    num_parameters : number of floating-point and INT8 constants, scales and zero points left out.
    parameter_bytes : their size as stored.
    num_quantizers : number of ``QuantizeLinear`` nodes.
    num_dequantizers : number of ``DequantizeLinear`` nodes; weights stored in INT8 have one and no quantizer.
    layers : the compute layers, in graph order.
    float32_nodes : nodes that stayed in FP32 when the rest became FP16 or BF16, each with the reason.
    raised_scales : tensors of which FP16 made scales larger than was wanted, each with how many.
    nested_layers : number of compute layers inside each nested graph, ``NODE.ATTRIBUTE``, left out of
        ``layers``.
    """

    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    num_nodes: int
    num_parameters: int
    parameter_bytes: int
    num_quantizers: int
    num_dequantizers: int
    layers: tuple[LayerPrecision, ...]
    float32_nodes: Mapping[str, str] = field(default_factory=dict)
    raised_scales: Mapping[str, str] = field(default_factory=dict)
    nested_layers: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> Mapping[str, int]:
        """Number of compute layers by precision, the most frequent first."""
        return dict(Counter(layer.precision for layer in self.layers).most_common())

    @property
    def stored_narrow(self) -> Mapping[str, int]:
        """Number of compute layers whose weight is stored narrower than they multiply, by its type."""
        return dict(Counter(layer.stored_narrow for layer in self.layers if layer.stored_narrow))

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain JSON values."""
        return {
            "opset": self.opset,
            "inputs": [str(spec) for spec in self.inputs],
            "outputs": [str(spec) for spec in self.outputs],
            "num_nodes": self.num_nodes,
            "num_parameters": self.num_parameters,
            "parameter_bytes": self.parameter_bytes,
            "num_quantizers": self.num_quantizers,
            "num_dequantizers": self.num_dequantizers,
            "counts": dict(self.counts),
            "stored_narrow": dict(self.stored_narrow),
            "layers": [vars(layer) for layer in self.layers],
            "float32_nodes": dict(self.float32_nodes),
            "raised_scales": dict(self.raised_scales),
            "nested_layers": dict(self.nested_layers),
        }


def describe(model: onnx.ModelProto) -> GraphSummary:
    """Read a graph's own types and say in which precision it asks each layer to run.

    Raises
    ------
    ModelError : the graph's types contradict each other.
    """
    index = GraphIndex(model.graph)
    types = infer_types(model)
    layers = tuple(
        _layer(node, index, types) for node in index.nodes if node.op_type in _COMPUTE and not node.domain
    )
    operators = Counter(node.op_type for node in index.nodes)
    parameters = [tensor for name, tensor in index.initializers.items() if _is_parameter(name, index)]
    return GraphSummary(
        opset=opset_of(model),
        inputs=model_inputs(model),
        outputs=model_outputs(model),
        num_nodes=len(index.nodes),
        num_parameters=sum(math.prod(tensor.dims) for tensor in parameters),
        parameter_bytes=sum(math.prod(tensor.dims) * _itemsize(tensor.data_type) for tensor in parameters),
        num_quantizers=operators["QuantizeLinear"],
        num_dequantizers=operators["DequantizeLinear"],
        layers=layers,
        float32_nodes=kept_float32(model),
        raised_scales=read_note(model, RAISED_KEY),
        nested_layers=count_inside(index.nodes, _COMPUTE),
    )


def _layer(node: onnx.NodeProto, index: GraphIndex, types: dict[str, ValueType]) -> LayerPrecision:
    factors = node.input if node.op_type == "Einsum" else node.input[:2]
    stored = [_stored_dtype(name, index, types) for name in factors]
    narrow = set(stored)
    if len(narrow) == 1 and all(_dequantizer(name, index) is not None for name in factors):
        precision = stored[0]
    else:
        precision = _dtype(types.get(node.input[0]))
    weight = node.input[1] if len(node.input) > 1 else ""
    return LayerPrecision(
        label(node), node.op_type, precision, stored[-1], _num_parameters(weight, index) if weight else 0
    )


def _dequantizer(name: str, index: GraphIndex) -> onnx.NodeProto | None:
    """Return the dequantizer that a tensor comes from, looking through changes of layout."""
    producer = index.producer(name)
    while producer is not None and producer.op_type in _LAYOUT:
        producer = index.producer(producer.input[0])
    return producer if producer is not None and producer.op_type == "DequantizeLinear" else None


def _stored_dtype(name: str, index: GraphIndex, types: dict[str, ValueType]) -> str:
    dequantizer = _dequantizer(name, index)
    return _dtype(types.get(dequantizer.input[0] if dequantizer is not None else name))


def _num_parameters(name: str, index: GraphIndex) -> int:
    producer = index.producer(name)
    while producer is not None and producer.op_type in _LAYOUT | {
        "Cast",
        "DequantizeLinear",
        "QuantizeLinear",
    }:
        name = producer.input[0]
        producer = index.producer(name)
    tensor = index.initializers.get(name)
    return 0 if tensor is None else math.prod(tensor.dims)


def _is_parameter(name: str, index: GraphIndex) -> bool:
    """Say whether a constant takes part in arithmetic: not an integer that steers, nor a scale."""
    import onnx

    tensor = index.initializers[name]
    readers = index.readers(name)
    if readers and all(
        node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] != name for node in readers
    ):
        return False
    integers = (
        onnx.TensorProto.INT64,
        onnx.TensorProto.INT32,
        onnx.TensorProto.BOOL,
        onnx.TensorProto.STRING,
    )
    return tensor.data_type not in integers


def _dtype(read: ValueType | None) -> str:
    return "unknown" if read is None else read.dtype


def _itemsize(elem_type: int) -> float:
    import onnx

    if elem_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4):
        return 0.5
    return onnx.helper.tensor_dtype_to_np_dtype(elem_type).itemsize
