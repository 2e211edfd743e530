"""Write INT8 scales into a graph as pairs of quantizers and dequantizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import QuantizationError, ScalesError
from trtforge.graph.float16_range import MagnitudesByTensor
from trtforge.graph.index import GraphIndex
from trtforge.graph.opset import raise_opset
from trtforge.graph.placement import Attention, KeepFloat, PlacementPlan, plan_placement
from trtforge.graph.precision import to_float16
from trtforge.graph.quantized_types import (
    QUANTIZED_TYPES,
    Float8,
    Int8,
    QuantizedTo,
    activation_scale,
)
from trtforge.graph.tensor_types import drop_inferable_types
from trtforge.graph.weights import weight_scale
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

# Per-channel quantizers came with 13, FP16 scales with 19.
_OPSET = {"float32": 13, "float16": 19}


def quantize_graph(
    model: onnx.ModelProto,
    scales: Scales,
    *,
    rest: Literal["float16", "float32"] = "float16",
    exclude: Sequence[str] = (),
    keep_float: KeepFloat = "none",
    attention: Attention = "float",
    keep_float32: Sequence[str] = (),
    magnitudes: MagnitudesByTensor | None = None,
    to: QuantizedTo = "int8",
) -> onnx.ModelProto:
    """Quantize a network to symmetric INT8, or FP8, by TensorRT's placement rules.

    Each activation has one quantizer, whoever reads it, and one scale; each weight has one scale for each
    output channel. Biases and outputs are not quantized.

    Parameters
    ----------
    model : a prepared float32 network, not changed.
    scales : ranges of the tensors that `tensors_to_observe` names for the same ``exclude``,
        ``keep_float`` and ``attention``. Whether they belong to this network is for the caller to check.
    rest : dtype of what is not INT8. ``"float16"`` suits strongly typed builds (TensorRT 10 and later, RTX):
        scales are FP16, weights are stored in INT8, opset 19 or later. ``"float32"`` suits TensorRT 8.6,
        which picks precisions itself, wants weights in FP32 before their quantizer, and reads opset 17 at
        most: the opset is raised to 13 if it is lower, else kept.
    exclude, keep_float, attention : layers to leave in floating point; see `plan_placement`.
    keep_float32, magnitudes : nodes to leave in FP32 where the rest is FP16, and what was observed of the
        tensors, which leaves further ones; see `to_float16`.
    to : ``int8``, or ``float8`` for FP8 (E4M3): products alone, weights stored so, the ranges the same; for
        compute capability 8.9 and above.

    Returns
    -------
    quantized : the network with Q/DQ pairs; inputs and outputs keep names, dtypes and shapes.

    Raises
    ------
    ScalesError : a tensor to be quantized has no scale.
    QuantizationError : nothing can be quantized, or an argument is wrong.

    References
    ----------
    NVIDIA, "TensorRT Developer Guide", section "Explicit Quantization"; "TensorRT for RTX", section "Working
    with Quantized Types", on FP8.
    ONNX operators QuantizeLinear and DequantizeLinear.
    """
    import onnx

    if rest not in _OPSET:
        raise QuantizationError(f'rest must be "float16" or "float32", got {rest!r}')
    if to not in QUANTIZED_TYPES or (to == "float8" and rest == "float32"):
        raise QuantizationError(
            f'to must be "int8", or "float8" with rest="float16", got {to!r} and {rest!r}',
            settings=("to", "rest"),
        )
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    quantized = raise_opset(quantized, _OPSET[rest])
    plan = plan_placement(
        quantized,
        exclude=exclude,
        keep_float=keep_float,
        attention=attention,
        products_only=to == "float8",
    )
    if not plan.placements:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(plan.left_alone.items())[:3])
        raise QuantizationError(f"the network has no layer to quantize{': ' + reasons if reasons else ''}")
    amax = _amax_by_tensor(plan, scales)
    drop_inferable_types(quantized)
    half = rest == "float16"
    scale_dtype = np.float16 if half else np.float32
    _Writer(quantized.graph, scale_dtype, QUANTIZED_TYPES[to], stores_weights=half).write(plan, amax)
    return to_float16(quantized, keep_float32=keep_float32, magnitudes=magnitudes) if half else quantized


def _amax_by_tensor(plan: PlacementPlan, scales: Scales) -> dict[str, float]:
    missing = [name for name in plan.tensors if name not in scales]
    if missing:
        shown = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise ScalesError(
            f"no scale for {len(missing)} of {len(plan.tensors)} tensors to be quantized: {shown}",
            hint="calibrate with the exclude and attention that you quantize with",
            settings=("exclude", "attention"),
        )
    amax = {name: scales[name].amax for name in plan.tensors}
    amax.update({name: max(amax[name], scales[name].observed_max) for name in plan.unclipped})
    for group in plan.shared:
        amax.update(dict.fromkeys(group, max(amax[name] for name in group)))
    return amax


class _Writer:
    """Adds quantizers to a graph.

    Parameters
    ----------
    graph : changed in place.
    scale_dtype : dtype that scales are rounded to; they are stored in FP32, where any FP16 value is exact,
        and typed together with the rest of the graph.
    kind : the type to quantize to.
    stores_weights : whether weights are stored in that type, or in floating point before a quantizer.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        scale_dtype: type[np.floating],
        kind: Int8 | Float8,
        *,
        stores_weights: bool,
    ) -> None:
        self.graph = graph
        self.index = GraphIndex(graph)
        self.scale_dtype = scale_dtype
        self.kind = kind
        self.stores_weights = stores_weights
        self.before: dict[int, list[onnx.NodeProto]] = {}
        self.weights: dict[tuple[str, int | None], str] = {}

    def write(self, plan: PlacementPlan, amax: dict[str, float]) -> None:
        """Add the pairs of a plan, each just before its first reader."""
        positions = {item.output: self.index.producers[item.output] for item in plan.placements}
        activations: dict[str, str] = {}
        for item in plan.placements:
            position = positions[item.output]
            node = self.index.nodes[position]
            replaced = {}
            for name in item.activations:
                if name not in activations:
                    activations[name] = self._activation(name, amax[name], position)
                replaced[name] = activations[name]
            if item.weight is not None:
                key = (item.weight, item.axis)
                if key not in self.weights:
                    self.weights[key] = self._weight(item.weight, item.axis, position)
                replaced[item.weight] = self.weights[key]
            # A bias is never quantized, even where it is the very tensor that is the weight.
            for slot in range(2):
                node.input[slot] = replaced.get(node.input[slot], node.input[slot])
        ordered = [
            new
            for position, node in enumerate(self.index.nodes)
            for new in [*self.before.get(position, ()), node]
        ]
        del self.graph.node[:]
        self.graph.node.extend(ordered)
        self._drop_replaced_weights()

    def _activation(self, name: str, amax: float, position: int) -> str:
        return self._pair(name, activation_scale(amax, self.kind.largest, self.scale_dtype), None, position)

    def _weight(self, name: str, axis: int | None, position: int) -> str:
        value = self.index.constant(name)
        assert value is not None  # noqa: S101 - placement takes only weights that are initializers
        try:
            if not self.stores_weights:
                scale = weight_scale(value, axis, self.kind.largest, self.scale_dtype)
                return self._pair(name, scale, axis, position)
            stored = self.index.new_name(f"{name}_quantized")
            tensor, scale = self.kind.weight(value, axis, self.scale_dtype, stored)
        except QuantizationError as error:
            raise QuantizationError(
                f"weight {name!r}: {error.message}", hint=error.hint, settings=error.settings
            ) from error
        self.graph.initializer.append(tensor)
        parameters = self._parameters(name, scale)
        return self._node("DequantizeLinear", [stored, *parameters], f"{name}_dequantized", axis, position)

    def _pair(self, name: str, scale: NDArray[np.generic], axis: int | None, position: int) -> str:
        parameters = self._parameters(name, scale)
        quantized = self._node("QuantizeLinear", [name, *parameters], f"{name}_quantized", axis, position)
        return self._node("DequantizeLinear", [quantized, *parameters], f"{name}_dequantized", axis, position)

    def _parameters(self, name: str, scale: NDArray[np.generic]) -> list[str]:
        wide = scale.astype(np.float32)
        parameters = [self._constant(f"{name}_scale", wide), self.index.new_name(f"{name}_zero_point")]
        self.graph.initializer.append(self.kind.zero_point(wide.shape, parameters[1]))
        return parameters

    def _constant(self, wanted: str, value: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        name = self.index.new_name(wanted)
        self.graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, op_type: str, inputs: list[str], wanted: str, axis: int | None, position: int) -> str:
        import onnx

        name = self.index.new_name(wanted)
        node = onnx.helper.make_node(op_type, inputs, [name], name=name)
        if axis is not None:
            node.attribute.append(onnx.helper.make_attribute("axis", axis))
        self.before.setdefault(position, []).append(node)
        return name

    def _drop_replaced_weights(self) -> None:
        index = GraphIndex(self.graph)
        replaced = {name for name, _ in self.weights}
        for position in reversed(range(len(self.graph.initializer))):
            name = self.graph.initializer[position].name
            if name in replaced and not index.consumers.get(name) and not index.is_exposed(name):
                del self.graph.initializer[position]
