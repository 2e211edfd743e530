"""The groups of layers that are quantized together or not at all, and the work in each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from trtforge._ort import make_session
from trtforge.errors import ConfigError, QuantizationError
from trtforge.feeds import Arrays
from trtforge.graph import Attention, plan_placement
from trtforge.graph.index import GraphIndex

if TYPE_CHECKING:
    import onnx

GroupBy: TypeAlias = Literal["layer", "block"]
Shape: TypeAlias = tuple[int, ...]

# "layers.3" of "/encoder/layers.3/fc1/MatMul": all up to the end of the first part with a number.
_BLOCK = re.compile(r"^.*?\d+(?=[./_]|$)")


@dataclass(frozen=True)
class LayerGroup:
    """Layers that are quantized together or not at all.

    Parameters
    ----------
    name : the layer's name, or what the names of a block begin with.
    nodes : names of the layers, in graph order; a nameless node goes by its output.
    macs : multiply-accumulates of one inference on the feed that was counted.
    """

    name: str
    nodes: tuple[str, ...]
    macs: int


def find_groups(
    model: onnx.ModelProto,
    arrays: Arrays,
    *,
    by: GroupBy = "layer",
    exclude: Sequence[str] = (),
    attention: Attention = "float",
) -> tuple[LayerGroup, ...]:
    """List what can be quantized, with the multiply-accumulates of each, counted in one inference.

    Residual additions that run inside a convolution's kernel follow that convolution and are no groups.

    Parameters
    ----------
    model : a prepared float32 network.
    arrays : one feed, for the shapes.
    by : ``layer``, or ``block`` for all layers whose names agree up to the first number, as in
        ``encoder.layers.3``; a name without one is a block of its own.
    exclude, attention : as for `trtforge.quantize`; what they leave alone is in no group.

    Raises
    ------
    ConfigError : ``by`` is none of its values.
    QuantizationError : nothing can be quantized.
    """
    if by not in get_args(GroupBy):
        raise ConfigError(f"by must be 'layer' or 'block', got {by!r}", settings=("by",))
    plan = plan_placement(model, exclude=exclude, attention=attention)
    layers = [item for item in plan.placements if item.op_type != "Add"]
    if not layers:
        raise QuantizationError("the network has no layer to quantize")
    counted = _count_macs(model, {item.output for item in layers}, arrays)
    grouped: dict[str, list[tuple[str, int]]] = {}
    for item in layers:
        block = _BLOCK.match(item.node)
        name = block[0] if by == "block" and block else item.node
        grouped.setdefault(name, []).append((item.node, counted[item.output]))
    return tuple(
        LayerGroup(name, tuple(node for node, _ in nodes), sum(macs for _, macs in nodes))
        for name, nodes in grouped.items()
    )


def _count_macs(model: onnx.ModelProto, outputs: set[str], arrays: Arrays) -> dict[str, int]:
    """Count the multiply-accumulates behind some nodes' first outputs."""
    index = GraphIndex(model.graph)
    nodes = [node for node in index.nodes if node.output and node.output[0] in outputs]
    wanted = dict.fromkeys(name for node in nodes for name in (node.output[0], *node.input[:2]))
    shapes = _shapes(model, [name for name in wanted if name not in index.initializers], arrays)
    shapes |= {name: tuple(index.initializers[name].dims) for name in wanted if name in index.initializers}
    return {node.output[0]: _macs(node, shapes) for node in nodes}


def _macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    data, weight, made = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":
        return math.prod(made) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(data) * math.prod(weight[1:])
    return math.prod(made) * data[-1]


def _shapes(model: onnx.ModelProto, names: Sequence[str], arrays: Arrays) -> dict[str, Shape]:
    import onnx

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    exposed = {value.name for value in shown.graph.output}
    given = {value.name for value in shown.graph.input}
    inside = [name for name in names if name not in given]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inside if name not in exposed)
    session = make_session(shown, purpose="count the work of layers")
    values = session.run(inside, dict(arrays))
    found = {name: tuple(value.shape) for name, value in zip(inside, values, strict=True)}
    return found | {name: tuple(arrays[name].shape) for name in names if name in given}
