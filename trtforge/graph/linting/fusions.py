"""What stands between a layer and the quantizer of its output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trtforge.graph.index import label
from trtforge.graph.linting.findings import LintFinding, Target
from trtforge.graph.linting.quantizers import MULTIPLIERS, Quantizers
from trtforge.graph.rewrites.remove_no_ops import passed_through
from trtforge.graph.rules import carried_inputs

if TYPE_CHECKING:
    import onnx

# fmt: off
_ACTIVATIONS = frozenset({
    "Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Selu", "Sigmoid", "Softplus",
    "Tanh",
})
# fmt: on
_ARITHMETIC = frozenset({"Add", "Cast", "Div", "Dropout", "Mul", "Pow", "Sub"})


def check_fusions(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    """Report operators between a layer and the quantizer of its output that its kernel cannot take in.

    A kernel ends in a bias, a residual addition, batch normalisation and one activation function, in this
    order; pooling by maximum and changes of layout are looked through. A no-op is reported wherever it stands
    directly before a quantizer.
    """
    for node in quantizers.nodes:
        if node.op_type != "QuantizeLinear" or quantizers.is_of_weight(node):
            continue
        last = quantizers.index.producer(node.input[0])
        if last is None:
            continue
        if passed_through(last, quantizers.index, quantizers.view.types) is not None:
            yield _finding(last, node, "its kernel", "it changes nothing; trtforge.graph.prepare removes it")
            continue
        layer, between = _between(node, quantizers)
        if layer is not None and (stray := _stray(between, quantizers)) is not None:
            yield _finding(
                stray,
                node,
                f"the kernel of {label(layer)!r}",
                "fold it into the weights before or after it, or leave it out",
            )


def _finding(stray: onnx.NodeProto, quantizer: onnx.NodeProto, kernel: str, remedy: str) -> LintFinding:
    return LintFinding(
        "stray-operator",
        "warning",
        label(quantizer),
        f"{label(stray)!r}, a {stray.op_type}, stands before quantizer {label(quantizer)!r} where a layer "
        f"should end: {kernel} cannot write INT8",
        remedy,
    )


def _between(
    quantizer: onnx.NodeProto, quantizers: Quantizers
) -> tuple[onnx.NodeProto | None, list[onnx.NodeProto]]:
    """Return the layer that a quantizer follows, and what is between, in order; None where there is none."""
    between: list[onnx.NodeProto] = []
    name = quantizer.input[0]
    while (producer := quantizers.index.producer(name)) is not None:
        if producer.op_type in MULTIPLIERS:
            return producer, between[::-1]
        activations = [read for read in producer.input if read and read not in quantizers.index.initializers]
        if carried_inputs(producer, quantizers.view) and len(activations) == 1:
            name = activations[0]
            continue
        if producer.op_type not in _ACTIVATIONS | _ARITHMETIC | {"BatchNormalization"}:
            break
        if producer.op_type == "Add" and len(activations) == 2:
            makers = [(read, quantizers.index.producer(read)) for read in activations]
            branches = [read for read, maker in makers if maker is not None and maker.op_type in MULTIPLIERS]
            activations = branches[:1]
        if len(activations) != 1:
            break
        between.append(producer)
        name = activations[0]
    return None, between


def _stray(between: list[onnx.NodeProto], quantizers: Quantizers) -> onnx.NodeProto | None:
    """Return the first operator that a kernel cannot end in."""
    is_activated = False
    for node in between:
        ends = node.op_type in ("Add", "BatchNormalization") or node.op_type in _ACTIVATIONS
        if is_activated or not ends:
            return node
        is_activated = node.op_type in _ACTIVATIONS
    return None
