"""``Add``: residuals that run inside a convolution's kernel, and those of transformers, which do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.rules.verdicts import Layer, Refusal, View

if TYPE_CHECKING:
    import onnx

_NORMALISATIONS = frozenset(
    {"GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization"}
)
# fmt: off
_CARRIES_ON = frozenset({
    "Add", "Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "MaxPool", "Mul", "PRelu", "Relu",
    "Sigmoid",
})
# fmt: on
_TRANSFORMER = "its stream is normalised: the residuals of transformers stay in floating point"


def judge_residual(node: onnx.NodeProto, view: View, *, quantized: set[str]) -> Layer | Refusal | None:
    """Quantize the input of a residual ``Add`` that bypasses the convolution which the addition ends in.

    Matches an ``Add`` of two activations of equal shape, one of them the output of a quantized ``Conv`` that
    nothing else reads, which leads to a quantized layer through nothing but activation functions and
    further additions. Where both inputs are such convolutions, the later one is taken as the branch.

    Refuses transformers' residual streams: an ``Add`` where the stream before or after it is normalised, by
    an operator or by a mean that is taken off. None where the addition is no residual.

    Parameters
    ----------
    quantized : first outputs of the layers to be quantized.
    """
    if node.op_type != "Add" or node.domain or any(view.is_constant(name) for name in node.input):
        return None
    if not _same_shape(*(view.shape(name) for name in node.input)):
        return None
    branch = _branch(node, view, quantized)
    if branch is None:
        stream = (*node.input, node.output[0])
        known = all(view.shape(name) for name in node.input)
        return Refusal(_TRANSFORMER) if known and any(_is_normalised(name, view) for name in stream) else None
    skip = node.input[1] if node.input[0] == branch else node.input[0]
    if _is_normalised(skip, view) or _is_normalised(node.output[0], view):
        return Refusal(_TRANSFORMER)
    return Layer((skip,)) if _reaches_quantized(node.output[0], view, quantized) else None


def _branch(add: onnx.NodeProto, view: View, quantized: set[str]) -> str | None:
    """Return the input that the fused convolution makes: the one computed last."""
    index = view.index
    made_by_conv = []
    for name in add.input:
        producer = index.producer(name)
        if (
            producer is not None
            and producer.op_type == "Conv"
            and name in quantized
            and index.is_private(name)
        ):
            made_by_conv.append(name)
    return max(made_by_conv, key=lambda name: index.producers[name], default=None)


def _same_shape(skip: tuple[object, ...] | None, branch: tuple[object, ...] | None) -> bool:
    if skip is None or branch is None:
        return True
    if len(skip) != len(branch):
        return False
    pairs = zip(skip, branch, strict=True)
    return all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))


def _is_normalised(name: str, view: View) -> bool:
    """Say whether a normalisation reads a tensor, or its mean over an axis is taken off or squared."""
    readers = view.index.readers(name)
    operators = {node.op_type for node in readers}
    # A mean alone is pooling; x - mean(x), or x times the root of the mean of its squares, is not.
    spelled_out = "ReduceMean" in operators and "Sub" in operators
    return spelled_out or "Pow" in operators or bool(operators & _NORMALISATIONS)


def _reaches_quantized(name: str, view: View, quantized: set[str]) -> bool:
    """Say whether a quantized layer reads the sum, so that the kernel can write INT8."""
    pending, seen = [name], {name}
    while pending:
        for node in view.index.readers(pending.pop()):
            if node.output[0] in quantized:
                return True
            if node.op_type in _CARRIES_ON and node.output[0] not in seen:
                seen.add(node.output[0])
                pending.append(node.output[0])
    return False
