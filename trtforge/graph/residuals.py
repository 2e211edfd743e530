"""Find the residual additions that run inside a convolution's kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtforge.graph.index import GraphIndex
from trtforge.graph.tensor_types import ValueType

if TYPE_CHECKING:
    import onnx

_NORMALISATIONS = frozenset(
    {"GroupNormalization", "InstanceNormalization", "LayerNormalization", "ReduceMean", "RMSNormalization"}
)


def skip_inputs(
    index: GraphIndex, types: dict[str, ValueType], *, quantized: set[str], excluded: set[str]
) -> dict[str, str]:
    """Return the output of each residual ``Add`` to quantize, with the input that bypasses the convolution.

    Matches an ``Add`` of two activations of equal shape, one of them the output of a quantized ``Conv`` that
    nothing else reads, which leads to a quantized layer through nothing but activation functions and
    further additions. Where both inputs are such convolutions, the later one is taken as the branch.

    Refuses transformers' residual streams: an ``Add`` where the stream before or after it is normalised.

    Parameters
    ----------
    quantized, excluded : first outputs of the layers to be quantized, and of the nodes to leave alone.
    """
    skips: dict[str, str] = {}
    for node in index.nodes:
        if node.op_type != "Add" or node.domain or node.output[0] in excluded:
            continue
        branch = _branch(node, index, quantized)
        if branch is None:
            continue
        skip = node.input[1] if node.input[0] == branch else node.input[0]
        if skip in index.initializers or not _same_shape(types.get(skip), types.get(branch)):
            continue
        if _is_normalised(skip, index) or _is_normalised(node.output[0], index):
            continue
        if _reaches_quantized(node.output[0], index, quantized):
            skips[node.output[0]] = skip
    return skips


def _branch(add: onnx.NodeProto, index: GraphIndex, quantized: set[str]) -> str | None:
    """Return the input that the fused convolution makes: the one computed last."""
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


def _same_shape(skip: ValueType | None, branch: ValueType | None) -> bool:
    if skip is None or skip.shape is None or branch is None or branch.shape is None:
        return True
    if len(skip.shape) != len(branch.shape):
        return False
    pairs = zip(skip.shape, branch.shape, strict=True)
    return all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))


def _is_normalised(name: str, index: GraphIndex) -> bool:
    return any(node.op_type in _NORMALISATIONS for node in index.readers(name))


_CARRIES_ON = frozenset(
    {
        "Add",
        "Clip",
        "Elu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "MaxPool",
        "Mul",
        "PRelu",
        "Relu",
        "Sigmoid",
    }
)


def _reaches_quantized(name: str, index: GraphIndex, quantized: set[str]) -> bool:
    """Say whether a quantized layer reads the sum, so that the kernel can write INT8."""
    pending, seen = [name], {name}
    while pending:
        for node in index.readers(pending.pop()):
            if node.output[0] in quantized:
                return True
            if node.op_type in _CARRIES_ON and node.output[0] not in seen:
                seen.add(node.output[0])
                pending.append(node.output[0])
    return False
