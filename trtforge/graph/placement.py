"""Choose which tensors of a network become INT8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trtforge.errors import QuantizationError
from trtforge.graph.index import GraphIndex, label
from trtforge.graph.names import match_nodes
from trtforge.graph.residuals import skip_inputs
from trtforge.graph.rules import KeepFloat, Layer, judge
from trtforge.graph.shared_scales import concat_groups
from trtforge.graph.tensor_types import infer_types

if TYPE_CHECKING:
    import onnx

_KEPT_FIRST = ("first", "first_last")
_KEPT_LAST = ("last", "first_last")


@dataclass(frozen=True)
class Placement:
    """One node that will read quantized tensors.

    Parameters
    ----------
    node : what the node is known by: its name, or else its output.
    output : name of the node's first output, which identifies it.
    op_type : its operator.
    activations : names of the tensors it reads quantized, one scale each.
    weight : name of its constant weight, or None for a residual ``Add``.
    axis : axis of the weight's output channels; None for one scale.
    """

    node: str
    output: str
    op_type: str
    activations: tuple[str, ...]
    weight: str | None = None
    axis: int | None = None


@dataclass(frozen=True)
class PlacementPlan:
    """What becomes INT8, what does not, and why.

    Parameters
    ----------
    placements : nodes that read quantized tensors, in graph order.
    left_alone : compute layers that stay in floating point, by name, each with the reason.
    shared : groups of quantized tensors that must have one scale, because a ``Concat`` joins them.
    """

    placements: tuple[Placement, ...]
    left_alone: dict[str, str] = field(default_factory=dict)
    shared: tuple[tuple[str, ...], ...] = ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """Activation tensors that need a scale, each once, in graph order."""
        return tuple(dict.fromkeys(name for item in self.placements for name in item.activations))


def plan_placement(
    model: onnx.ModelProto, *, exclude: Sequence[str] = (), keep_float: KeepFloat = "none"
) -> PlacementPlan:
    """Choose the tensors to quantize by TensorRT's rules for explicit quantization.

    Inputs of convolutions and of products with a constant are quantized, outputs never. A residual ``Add``
    that a convolution ends in takes its other input quantized too, so that it runs in the convolution's
    kernel; not so in transformers, whose residual stream stays in floating point, as do normalisation,
    softmax and products of two activations.

    Parameters
    ----------
    model : a prepared float32 network, not changed.
    exclude : nodes to leave alone, by name, output or shell pattern.
    keep_float : compute layers to leave alone by position: ``first`` those that no other compute layer feeds,
        ``last`` those that feed no other.

    Raises
    ------
    QuantizationError : a name in ``exclude`` matches no node, ``keep_float`` is none of its values, or the
        network is quantized already.

    References
    ----------
    NVIDIA, "TensorRT Developer Guide", section "Q/DQ Layer-Placement Recommendations".
    """
    if keep_float not in ("none", "first", "last", "first_last"):
        raise QuantizationError(
            f'keep_float must be "none", "first", "last" or "first_last", got {keep_float!r}',
            settings=("keep_float",),
        )
    index = GraphIndex(model.graph)
    quantizers = [node for node in index.nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    if quantizers:
        raise QuantizationError(
            f"the network is quantized already: {label(quantizers[0])!r} is a {quantizers[0].op_type}",
            hint="start from the floating-point network",
        )
    types = infer_types(model)
    excluded = match_nodes(index.nodes, exclude, asked="exclude")
    layers: dict[str, Layer] = {}
    left_alone: dict[str, str] = {}
    for node in index.nodes:
        verdict = judge(node, index, types)
        if isinstance(verdict, Layer) and node.output[0] not in excluded:
            layers[node.output[0]] = verdict
        elif verdict is not None:
            left_alone[label(node)] = "excluded" if isinstance(verdict, Layer) else verdict.reason
    for output, reason in _at_the_ends(index, layers, keep_float).items():
        del layers[output]
        left_alone[label(index.nodes[index.producers[output]])] = reason
    skips = skip_inputs(index, types, quantized=set(layers), excluded=excluded)
    placements = []
    for node in index.nodes:
        made = node.output[0] if node.output else ""
        if made in layers:
            layer = layers[made]
            placements.append(
                Placement(label(node), made, node.op_type, (layer.activation,), layer.weight, layer.axis)
            )
        elif made in skips:
            placements.append(Placement(label(node), made, node.op_type, (skips[made],)))
    tensors = {name for item in placements for name in item.activations}
    return PlacementPlan(tuple(placements), left_alone, concat_groups(index, tensors))


def tensors_to_observe(
    model: onnx.ModelProto, *, exclude: Sequence[str] = (), keep_float: KeepFloat = "none"
) -> tuple[str, ...]:
    """Return the activation tensors whose range calibration has to find; see `plan_placement`."""
    return plan_placement(model, exclude=exclude, keep_float=keep_float).tensors


def _at_the_ends(index: GraphIndex, layers: dict[str, Layer], keep_float: KeepFloat) -> dict[str, str]:
    """Return the layers that nothing to be quantized comes before, or after, as asked."""
    fed: set[str] = set()
    first: list[str] = []
    before: dict[str, set[str]] = {}
    for node in index.nodes:
        upstream = set().union(*(before.get(name, ()) for name in node.input))
        made = node.output[0] if node.output else ""
        if made in layers:
            if not upstream:
                first.append(made)
            fed |= upstream
            upstream = {made}
        before.update(dict.fromkeys(node.output, upstream))
    ends: dict[str, str] = {}
    if keep_float in _KEPT_FIRST:
        ends.update(dict.fromkeys(first, f'first layer, kept by keep_float="{keep_float}"'))
    if keep_float in _KEPT_LAST:
        last = [made for made in layers if made not in fed]
        ends.update(dict.fromkeys(last, f'last layer, kept by keep_float="{keep_float}"'))
    return ends
