"""Raise a network's opset without changing what it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trtforge.errors import QuantizationError
from trtforge.graph.index import GraphIndex, attribute
from trtforge.model import all_graphs, nested_graphs

if TYPE_CHECKING:
    import onnx

# Between these opsets the changed operators are few enough to be listed.
_LISTED_FROM = 13
_LISTED_TO = 22
# Operators that changed in that range by taking more dtypes, attributes or inputs, not by meaning something
# else.
# fmt: off
_EXTENDED = frozenset({
    "Acos", "Acosh", "Add", "Asin", "Asinh", "Atan", "Atanh", "AveragePool", "BatchNormalization",
    "Bernoulli", "Cast", "CastLike", "Constant", "ConstantOfShape", "Conv", "ConvTranspose", "Cos",
    "Cosh", "CumSum", "DeformConv", "DequantizeLinear", "Det", "Div", "Dropout", "Elu", "Equal",
    "EyeLike", "Flatten", "GRU", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GreaterOrEqual",
    "HardSigmoid", "HardSwish", "Identity", "If", "InstanceNormalization", "IsInf", "IsNaN", "LSTM",
    "LeakyRelu", "LessOrEqual", "Loop", "LpNormalization", "LpPool", "MaxPool", "MaxRoiPool",
    "MaxUnpool", "Mish", "Mul", "Multinomial", "NegativeLogLikelihoodLoss", "PRelu", "Pad", "Pow",
    "QLinearMatMul", "QuantizeLinear", "RNN", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "Relu", "Reshape", "Resize", "RoiAlign", "Round", "Scan", "ScatterElements",
    "ScatterND", "Selu", "Shape", "Sin", "Sinh", "Size", "Softplus", "Softsign", "Squeeze", "Sub",
    "Tan", "ThresholdedRelu", "Transpose", "Unsqueeze", "Where",
})
# fmt: on
# fmt: off
_REDUCTIONS = frozenset({
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSumSquare",
})
# fmt: on


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the default operator set that a network uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def raise_opset(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Bring a network to a later opset; one that is there already is returned as it is.

    Between opsets 13 and 22 nodes are kept as they are, and the few whose definition changed are rewritten;
    elsewhere ONNX's own converter does the work.

    Parameters
    ----------
    model : the network; it may be changed in place, and must not be used afterwards.
    version : opset to reach.

    Raises
    ------
    QuantizationError : an operator's definition changed and neither way can carry it over.
    """
    import onnx

    current = opset_of(model)
    if current >= version:
        return model
    if current >= _LISTED_FROM and version <= _LISTED_TO and _is_listed(model, current, version):
        _rewrite(model, current, version)
        for entry in model.opset_import:
            if entry.domain in ("", "ai.onnx"):
                entry.version = version
        raised = model
    else:
        try:
            raised = onnx.version_converter.convert_version(model, version)
        except Exception as error:  # the C++ side raises several unexported kinds
            raise QuantizationError(
                f"the network uses opset {current}, {version} is needed, and ONNX cannot convert it: {error}",
                hint=f"export the network with opset_version={version}",
            ) from error
        _restore(raised, model)
    needed = onnx.helper.find_min_ir_version_for(list(raised.opset_import), ignore_unknown=True)
    raised.ir_version = max(raised.ir_version, needed)
    return raised


def _is_listed(model: onnx.ModelProto, current: int, version: int) -> bool:
    def carries_over(node: onnx.NodeProto, *, nested: bool) -> bool:
        for _, body in nested_graphs(node):
            if not all(carries_over(inner, nested=True) for inner in body.node):
                return False
        if node.domain or not _has_changed(node.op_type, current, version) or node.op_type in _EXTENDED:
            return True
        return not nested and (node.op_type in _REDUCTIONS or node.op_type == "Split")

    return all(carries_over(node, nested=False) for node in model.graph.node)


def _has_changed(op_type: str, current: int, version: int) -> bool:
    import onnx

    if not onnx.defs.has(op_type, current, ""):
        return False
    schemas = [onnx.defs.get_schema(op_type, opset, "") for opset in (current, version)]
    return schemas[0].since_version != schemas[1].since_version


def _rewrite(model: onnx.ModelProto, current: int, version: int) -> None:
    """Apply what opset 18 changed: axes of reductions became an input, Split wants its number of outputs."""
    import onnx
    from onnx import numpy_helper

    if not current < 18 <= version:
        return
    index = GraphIndex(model.graph)
    for node in index.nodes:
        axes = attribute(node, "axes") if node.op_type in _REDUCTIONS and not node.domain else None
        if axes is not None:
            name = index.new_name(f"{node.output[0]}_axes")
            values = np.asarray(axes, dtype=np.int64)
            model.graph.initializer.append(numpy_helper.from_array(values, name))
            kept = [item for item in node.attribute if item.name != "axes"]
            del node.attribute[:]
            node.attribute.extend(kept)
            node.input.append(name)
        elif node.op_type == "Split" and not node.domain and (len(node.input) < 2 or not node.input[1]):
            node.attribute.append(onnx.helper.make_attribute("num_outputs", len(node.output)))


def _restore(raised: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Put back what the converter leaves behind."""
    del raised.metadata_props[:]
    raised.metadata_props.extend(model.metadata_props)
    raised.producer_name, raised.producer_version = model.producer_name, model.producer_version
    _restore_names(raised.graph, model.graph)


def _restore_names(raised: onnx.GraphProto, graph: onnx.GraphProto) -> None:
    """Give tensors that the converter renamed, as the output of ``Upsample``, the name that scales have."""
    before = {name: node for node in graph.node for name in node.output if name}
    made = {name for node in raised.node for name in node.output}
    names: dict[str, str] = {}
    # Readers come before makers, so that a chain of renamed tensors is followed to its start.
    for node in reversed(raised.node):
        reader = before.get(names.get(node.output[0], node.output[0])) if node.output else None
        for old, new in zip(reader.input, node.input, strict=False) if reader else ():
            if old in before and old not in made and new in made and new not in before:
                names[new] = old
    for node in (node for body in all_graphs(raised) for node in body.node):
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in raised.value_info:
        value.name = names.get(value.name, value.name)
