"""Write INT8 scales into a graph as pairs of quantizers and dequantizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import QuantizationError, ScalesError
from trtforge.graph.float16_range import MAX_ROUNDING_ERROR, MagnitudesByTensor, Peak
from trtforge.graph.index import GraphIndex
from trtforge.graph.notes import RAISED_KEY, write_note
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
from trtforge.graph.weights import naming_weight, weight_scale
from trtforge.model import copy_model
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
        tensors, which leaves further ones; see `to_float16`. Of tensors with a scale it is known without
        ``magnitudes`` whether they overflow.
    to : ``int8``, or ``float8`` for FP8 (E4M3): products alone, weights stored so, the ranges the same; for
        compute capability 8.9 and above.

    Returns
    -------
    quantized : the network with Q/DQ pairs; inputs and outputs keep names, dtypes and shapes. Where FP16 has
        no scale as small as was wanted within 1 %, its metadata says how many of a tensor's are larger
        (`trtforge.graph.notes.RAISED_KEY`).

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
    if rest not in _OPSET:
        raise QuantizationError(f'rest must be "float16" or "float32", got {rest!r}')
    if to not in QUANTIZED_TYPES or (to == "float8" and rest == "float32"):
        raise QuantizationError(
            f'to must be "int8", or "float8" with rest="float16", got {to!r} and {rest!r}',
            settings=("to", "rest"),
        )
    quantized = copy_model(model)
    quantized = raise_opset(quantized, _OPSET[rest])
    plan = plan_placement(
        quantized,
        exclude=exclude,
        keep_float=keep_float,
        attention=attention,
        products_only=to == "float8",
    )
    plan.require_layers()
    amax = _amax_by_tensor(plan, scales)
    drop_inferable_types(quantized)
    half = rest == "float16"
    scale_dtype = np.float16 if half else np.float32
    writer = _Writer(quantized.graph, scale_dtype, QUANTIZED_TYPES[to], stores_weights=half)
    writer.write(plan, amax)
    if not half:
        return quantized
    write_note(quantized, RAISED_KEY, writer.raised)
    peaks = {name: Peak(scale.observed_max) for name, scale in scales.tensors.items()}
    return to_float16(quantized, keep_float32=keep_float32, magnitudes={**peaks, **(magnitudes or {})})


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
        self.raised: dict[str, str] = {}

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
        scale = activation_scale(amax, self.kind.largest, self.scale_dtype)
        self._note_raised(name, scale, np.asarray(amax / self.kind.largest))
        return self._pair(name, scale, None, position)

    def _weight(self, name: str, axis: int | None, position: int) -> str:
        value = self.index.constant(name)
        assert value is not None  # noqa: S101 - placement takes only weights that are initializers
        with naming_weight(name):
            if not self.stores_weights:
                scale = weight_scale(value, axis, self.kind.largest, self.scale_dtype)
                return self._pair(name, scale, axis, position)
            stored = self.index.new_name(f"{name}_quantized")
            tensor, scale = self.kind.weight(value, axis, self.scale_dtype, stored)
        self._note_raised(name, scale, weight_scale(value, axis, self.kind.largest, np.float64))
        self.graph.initializer.append(tensor)
        parameters = self._parameters(name, scale)
        return self._node("DequantizeLinear", [stored, *parameters], f"{name}_dequantized", axis, position)

    def _note_raised(self, name: str, scale: NDArray[np.floating], wanted: NDArray[np.floating]) -> None:
        factors = scale.astype(np.float64) / wanted
        if num_raised := np.count_nonzero(factors > 1 + MAX_ROUNDING_ERROR):
            self.raised[name] = (
                f"{num_raised} of {scale.size} scales are larger than wanted, up to {factors.max():.3g} "
                "times, as FP16 has no finer ones, and none below 6e-8"
            )

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
