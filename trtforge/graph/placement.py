"""Choose which tensors of a network become INT8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from trtforge.errors import QuantizationError
from trtforge.graph.index import QUANTIZERS, GraphIndex, count_inside, label
from trtforge.graph.names import first_reasons, match_nodes
from trtforge.graph.rules import LAYERS, Layer, View, judge_layer, judge_residual
from trtforge.graph.shared_scales import shared_scales

if TYPE_CHECKING:
    import onnx

KeepFloat: TypeAlias = Literal["none", "first", "last", "first_last"]
Attention: TypeAlias = Literal["float", "int8"]

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
    weight : name of its constant weight; None for a residual ``Add`` and for a product of two activations.
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
    left_alone : layers and residual additions that stay in floating point, by name, each with the reason;
        also each nested graph that has layers, as ``NODE.ATTRIBUTE``, and each call of a function.
    shared : groups of quantized tensors that must have one scale, because one carries the other's values
        through concatenation, pooling by maximum or a change of layout.
    unclipped : quantized tensors whose whole range is kept, because a softmax makes them: its few large
        values are what attention is about, and a threshold for the many small ones would cut them off.
    """

    placements: tuple[Placement, ...]
    left_alone: dict[str, str] = field(default_factory=dict)
    shared: tuple[tuple[str, ...], ...] = ()
    unclipped: tuple[str, ...] = ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """Activation tensors that need a scale, each once, in graph order."""
        return tuple(dict.fromkeys(name for item in self.placements for name in item.activations))

    def require_layers(self) -> None:
        """Raise QuantizationError, with the first reasons, where nothing becomes INT8."""
        if not self.placements:
            raise QuantizationError(f"the network has no layer to quantize{first_reasons(self.left_alone)}")


def plan_placement(
    model: onnx.ModelProto,
    *,
    exclude: Sequence[str] = (),
    keep_float: KeepFloat = "none",
    attention: Attention = "float",
    products_only: bool = False,
) -> PlacementPlan:
    """Choose the tensors to quantize by TensorRT's rules for explicit quantization.

    Inputs of convolutions and of products are quantized, outputs never. A residual ``Add`` that a convolution
    ends in takes its other input quantized too, so that it runs in the convolution's kernel; not so in
    transformers, whose residual stream stays in floating point, as do normalisation and softmax.
    `trtforge.graph.rules` has one file for each operator.

    Parameters
    ----------
    model : a prepared float32 network, not changed.
    exclude : nodes to leave alone, by name, output or shell pattern.
    keep_float : compute layers to leave alone by position: ``first`` those that no other compute layer feeds,
        ``last`` those that feed no other.
    attention : ``int8`` quantizes products of two activations too. TensorRT's fused attention kernels compute
        in floating point, so that is for what was measured.
    products_only : leave convolutions alone, as FP8 does.

    Raises
    ------
    QuantizationError : a name in ``exclude`` matches no node, ``keep_float`` or ``attention`` is none of its
        values, or the network is quantized already.

    References
    ----------
    NVIDIA, "TensorRT Developer Guide", section "Q/DQ Layer-Placement Recommendations".
    """
    _check_choice("keep_float", keep_float, get_args(KeepFloat))
    _check_choice("attention", attention, get_args(Attention))
    view = View.of(model)
    index = view.index
    quantizers = [node for node in index.nodes if node.op_type in QUANTIZERS]
    if quantizers:
        raise QuantizationError(
            f"the network is quantized already: {label(quantizers[0])!r} is a {quantizers[0].op_type}",
            hint="start from the floating-point network",
        )
    excluded = match_nodes(index.nodes, exclude, asked="exclude")
    chosen: dict[str, Layer] = {}
    left_alone: dict[str, str] = {}
    for node in index.nodes:
        verdict = judge_layer(node, view)
        if not isinstance(verdict, Layer):
            if verdict is not None:
                left_alone[label(node)] = verdict.reason
        elif node.output[0] in excluded:
            left_alone[label(node)] = "excluded"
        elif verdict.weight is None and attention == "float":
            left_alone[label(node)] = "it multiplies two activations, as attention does"
        elif products_only and node.op_type in ("Conv", "ConvTranspose"):
            left_alone[label(node)] = "FP8 is for products; quantize convolutions to INT8"
        else:
            chosen[node.output[0]] = verdict
    for output, reason in _at_the_ends(index, chosen, keep_float).items():
        del chosen[output]
        left_alone[label(index.nodes[index.producers[output]])] = reason
    for body, count in count_inside(index.nodes, LAYERS).items():
        left_alone[body] = f"{count} of its nodes multiply, and nothing inside a nested graph is quantized"
    for node in index.nodes:
        if any((node.domain, node.op_type) == (made.domain, made.name) for made in model.functions):
            left_alone[label(node)] = f"{node.op_type} is a function; onnx.inliner makes nodes of it"
    layers = set(chosen)
    for node in index.nodes:
        residual = judge_residual(node, view, quantized=layers)
        if isinstance(residual, Layer) and node.output[0] not in excluded:
            chosen[node.output[0]] = residual
        elif residual is not None:
            left_alone[label(node)] = "excluded" if isinstance(residual, Layer) else residual.reason
    placements = tuple(
        Placement(label(node), made, node.op_type, layer.activations, layer.weight, layer.axis)
        for node in index.nodes
        if (made := next(iter(node.output), "")) in chosen
        for layer in [chosen[made]]
    )
    tensors = {name for item in placements for name in item.activations}
    softmax = {name for node in index.nodes if node.op_type == "Softmax" for name in node.output}
    return PlacementPlan(
        placements, left_alone, shared_scales(view, tensors), tuple(sorted(tensors & softmax))
    )


def tensors_to_observe(
    model: onnx.ModelProto,
    *,
    exclude: Sequence[str] = (),
    keep_float: KeepFloat = "none",
    attention: Attention = "float",
) -> tuple[str, ...]:
    """Return the activation tensors whose range calibration has to find; see `plan_placement`."""
    return plan_placement(model, exclude=exclude, keep_float=keep_float, attention=attention).tensors


def multiplies_activations(model: onnx.ModelProto) -> bool:
    """Say whether a prepared network has products of two activations that INT8 could reach."""
    return tensors_to_observe(model) != tensors_to_observe(model, attention="int8")


def _check_choice(setting: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        *others, last = map(repr, choices)
        raise QuantizationError(
            f"{setting} must be {', '.join(others)} or {last}, got {value!r}", settings=(setting,)
        )


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
