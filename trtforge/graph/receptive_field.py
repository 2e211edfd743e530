"""How many input frames an output frame depends on: what windows of long audio must overlap by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from trtforge.errors import ModelError
from trtforge.model import ModelSource, load_model, model_inputs, model_outputs, nested_graphs

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class ReceptiveField:
    """The input frames ``j * stride - left`` to ``j * stride + right`` that output frame ``j`` depends on.

    Parameters
    ----------
    left, right : frames before and after; below 0 where the frame itself is not among them.
    stride : input frames from one output frame to the next, 1 or more.
    output_axis : axis of the output that is time.
    """

    left: int
    right: int
    stride: int = 1
    output_axis: int = 1

    @property
    def num_frames(self) -> int:
        """Frames that an output frame depends on."""
        return self.left + self.right + 1


@dataclass(frozen=True)
class _Unbounded:
    """Depends on the whole input, or in a way that is not known."""


@dataclass(frozen=True)
class _Reads:
    left: int
    right: int
    stride: int
    axis: int
    rank: int


# None: does not depend on the input.
_State: TypeAlias = "_Reads | _Unbounded | None"

_UNBOUNDED = _Unbounded()
# fmt: off
_ELEMENTWISE = frozenset({
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "Div", "Dropout", "Elu",
    "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Less", "Log", "Max", "Min", "Mish", "Mul", "Neg", "Not", "Or", "PRelu", "Pow",
    "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt",
    "Sub", "Sum", "Tanh", "ThresholdedRelu", "Where",
})
# fmt: on
_WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool", "LpPool"})
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_NORMALIZERS = frozenset({"Softmax", "LogSoftmax", "LayerNormalization"})


def receptive_field(
    model: ModelSource, *, input_name: str | None = None, output: str | None = None, time_axis: int = -1
) -> ReceptiveField | None:
    """Find the input frames that an output frame of a network depends on.

    Convolutions and poolings widen the field by kernels, dilations and strides; what works on each frame
    alone leaves it as it is.

    Parameters
    ----------
    model : the network, as `trtforge.model.load_model` takes it.
    input_name : the input that is cut; by default the first.
    output : the output that is stitched; by default the first.
    time_axis : the input's axis of time.

    Returns
    -------
    The field, or None where there is none that is known to hold: attention, recurrence, normalization or
    a reduction over time, constants that differ from frame to frame, nested graphs, or an operator that is
    not known here.

    Raises
    ------
    ModelError : the network cannot be read, or has no such input, output or axis.

    References
    ----------
    A. Araujo, W. Norris, J. Sim, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill 2019.
    """
    network = load_model(model)
    source = _named(model_inputs(network), input_name, "input")
    target = _named(model_outputs(network), output, "output")
    rank = len(source.shape)
    if not -rank <= time_axis < rank:
        raise ModelError(f"time_axis {time_axis} is not an axis of {source}")
    states: dict[str, _State] = {spec.name: _UNBOUNDED for spec in model_inputs(network)}
    states[source.name] = _Reads(0, 0, 1, time_axis % rank, rank)
    shapes = _shapes(network)
    opset = next((entry.version for entry in network.opset_import if entry.domain in ("", "ai.onnx")), 0)
    for node in network.graph.node:
        state = _after(node, states, shapes, opset)
        for position, name in enumerate(node.output):
            # Further outputs may count over the whole input, as the indices of a maximum do.
            states[name] = state if position == 0 or state is None else _UNBOUNDED
    found = states.get(target.name)
    if not isinstance(found, _Reads):
        return None
    return ReceptiveField(found.left, found.right, found.stride, found.axis)


def _named(specs: Any, name: str | None, kind: str) -> Any:
    for spec in specs:
        if name is None or spec.name == name:
            return spec
    raise ModelError(f"the network has no {kind} {name!r}, only {[spec.name for spec in specs]}")


def _after(
    node: onnx.NodeProto, states: Mapping[str, _State], shapes: Mapping[str, tuple[int, ...]], opset: int
) -> _State:
    """Return what a node's outputs depend on."""
    read = [states.get(name) for name in node.input if name]
    attributes = _attributes(node)
    if attributes is None:
        return _UNBOUNDED
    given = [state for state in read if state is not None]
    if not given:
        return None
    if node.domain not in ("", "ai.onnx") or any(isinstance(state, _Unbounded) for state in given):
        return _UNBOUNDED
    fields = [state for state in given if isinstance(state, _Reads)]
    first = states.get(node.input[0]) if node.input else None
    kind = node.op_type
    if kind in _ELEMENTWISE:
        return _together(node, fields, states, shapes)
    if not isinstance(first, _Reads) or (len(fields) > 1 and kind != "Concat"):
        return _UNBOUNDED
    if kind in _WINDOWED:
        return _windowed(node, first, attributes, shapes)
    if kind == "BatchNormalization":
        is_per_frame = first.axis != 1 and not attributes.get("training_mode", 0)
        return first if is_per_frame else _UNBOUNDED
    if kind in _QUANTIZERS:
        scale = shapes.get(node.input[1])
        axis = attributes.get("axis", 1) % first.rank
        blocked = attributes.get("block_size", 0)
        if blocked or scale is None or (scale not in ((), (1,)) and axis == first.axis):
            return _UNBOUNDED
        return first
    if kind in _NORMALIZERS:
        default = 1 if kind != "LayerNormalization" and opset < 13 else -1
        axis = attributes.get("axis", default) % first.rank
        spans_rest = kind == "LayerNormalization" or opset < 13
        return _UNBOUNDED if axis == first.axis or (spans_rest and axis < first.axis) else first
    if kind == "Transpose":
        order = attributes.get("perm") or list(range(first.rank))[::-1]
        return _moved(first, list(order).index(first.axis), first.rank)
    if kind == "MatMul":
        other = shapes.get(node.input[1])
        is_per_frame = first.axis < first.rank - 1 and other is not None and len(other) == 2
        return first if is_per_frame else _UNBOUNDED
    if kind == "Concat":
        if len(fields) != len(read):
            return _UNBOUNDED
        return _UNBOUNDED if attributes["axis"] % first.rank == first.axis else _merged(fields)
    return _UNBOUNDED


def _together(
    node: onnx.NodeProto,
    fields: list[_Reads],
    states: Mapping[str, _State],
    shapes: Mapping[str, tuple[int, ...]],
) -> _State:
    """Join inputs that are worked on frame by frame; a constant must not differ from frame to frame."""
    state = _merged(fields)
    if isinstance(state, _Reads):
        behind = state.rank - state.axis
        for name in filter(None, node.input):
            if states.get(name) is None:
                shape = shapes.get(name)
                if shape is None or len(shape) > state.rank:
                    return _UNBOUNDED
                if len(shape) >= behind and shape[-behind] != 1:
                    return _UNBOUNDED
    return state


def _merged(fields: list[_Reads]) -> _State:
    if len({(field.stride, field.axis, field.rank) for field in fields}) > 1:
        return _UNBOUNDED
    left, right = (max(getattr(field, side) for field in fields) for side in ("left", "right"))
    return _Reads(left, right, fields[0].stride, fields[0].axis, fields[0].rank)


def _windowed(
    node: onnx.NodeProto, field: _Reads, attributes: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> _State:
    """Widen a field by a kernel, which reads from ``j * s - pad`` on every ``d``-th of ``k`` positions."""
    if field.axis < 2:
        return _UNBOUNDED
    spatial, count = field.axis - 2, field.rank - 2
    kernel = attributes.get("kernel_shape") or (
        shapes.get(node.input[1], ()) if node.op_type == "Conv" else ()
    )
    kernel = list(kernel)[-count:]
    if len(kernel) != count:
        return _UNBOUNDED
    dilation = (attributes.get("dilations") or [1] * count)[spatial]
    stride = (attributes.get("strides") or [1] * count)[spatial]
    reach = (kernel[spatial] - 1) * dilation
    auto = attributes.get("auto_pad", b"NOTSET")
    if auto == b"NOTSET":
        before = (attributes.get("pads") or [0] * 2 * count)[spatial]
    elif auto == b"VALID":
        before = 0
    elif stride == 1:
        before = reach // 2 if auto == b"SAME_UPPER" else reach - reach // 2
    else:  # the padding depends on the length
        return _UNBOUNDED
    return _Reads(
        field.left + before * field.stride,
        field.right + (reach - before) * field.stride,
        field.stride * stride,
        field.axis,
        field.rank,
    )


def _moved(field: _Reads, axis: int, rank: int) -> _Reads:
    return _Reads(field.left, field.right, field.stride, axis, rank)


def _attributes(node: onnx.NodeProto) -> dict[str, Any] | None:
    """Return a node's attributes by name; None where it holds a nested graph."""
    import onnx

    if any(nested_graphs(node)):
        return None
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _shapes(network: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes that are fully known."""
    import onnx

    shapes = {tensor.name: tuple(tensor.dims) for tensor in network.graph.initializer}
    try:
        graph = onnx.shape_inference.infer_shapes(network, data_prop=True).graph
    except Exception:  # a graph that inference cannot follow: what is not known counts as unbounded
        return shapes
    for value in graph.value_info:
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes.setdefault(value.name, tuple(dim.dim_value for dim in kind.shape.dim))
    return shapes
