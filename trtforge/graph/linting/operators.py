"""Operators, opsets and types that a library does not read."""

from __future__ import annotations

from collections.abc import Iterator

from trtforge.graph.index import QUANTIZERS, count_inside, label
from trtforge.graph.linting.findings import LintFinding, Target
from trtforge.graph.linting.quantizers import Quantizers
from trtforge.graph.two_dimensional import is_1d_convolution

_REST = (("rest", "float32"),)
_INTEGER_OPERATORS = frozenset({"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"})


def check_operators(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    """Report late opsets, integer operators, quantizers out of sight, types lacking, moved or mixed."""
    if quantizers.opset > target.max_onnx_opset:
        yield _opset(quantizers, target)
    for node in quantizers.index.nodes:
        if node.op_type in _INTEGER_OPERATORS or node.op_type.startswith("QLinear"):
            yield LintFinding(
                "integer-operator",
                "error",
                label(node),
                f"{label(node)!r} is a {node.op_type}, which TensorRT's parser does not have",
                "quantize with QuantizeLinear and DequantizeLinear around floating-point operators",
            )
    for body, count in count_inside(quantizers.index.nodes, QUANTIZERS).items():
        yield LintFinding(
            "nested-graph",
            "warning",
            body,
            f"{count} quantizers are inside {body!r}, where nothing was checked",
            "quantize at the top level, or lint that graph as a network of its own",
        )
    yield from _types(quantizers, target)
    yield from _moved(quantizers)
    yield from _layers(quantizers, target)


def _opset(quantizers: Quantizers, target: Target) -> LintFinding:
    remedy = f"export with opset {target.max_onnx_opset} or lower"
    # FP16 scales came with opset 19: whoever wrote them raised an export of an earlier one.
    scales = map(quantizers.scale, quantizers.nodes)
    is_half = any(scale is not None and scale.dtype == "float16" for scale in scales)
    if is_half:
        remedy = (
            'quantize with rest="float32", which keeps the opset of the export; that one must be '
            f"{target.max_onnx_opset} or lower"
        )
    return LintFinding(
        "opset",
        "error",
        "",
        f"the network uses opset {quantizers.opset}, and {target.name} reads up to {target.max_onnx_opset}",
        remedy,
        _REST if is_half else (),
    )


def _types(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    for node in quantizers.nodes:
        name, kind = label(node), quantizers.type_name(node)
        # UINT8 builds and is reported for what it does to the numbers.
        if kind not in (*target.quantized_types, "UINT8", "UNDEFINED"):
            yield LintFinding(
                "quantized-type",
                "error",
                name,
                f"{name!r} is of type {kind}; {target.name} quantizes to {', '.join(target.quantized_types)}",
                "quantize to one of these",
            )
        scale = quantizers.scale(node)
        if scale is not None and scale.dtype == "float16" and not target.has_half_scales:
            yield LintFinding(
                "half-scale",
                "error",
                name,
                f"the scale of {name!r} is FP16, and {target.name} takes FP32 scales alone",
                'quantize with rest="float32"',
                _REST,
            )
        if (
            not target.reads_stored_weights
            and node.op_type == "DequantizeLinear"
            and node.input[0] in quantizers.index.initializers
            and kind == "INT8"
        ):
            yield LintFinding(
                "stored-weight",
                "error",
                name,
                f"{name!r} reads a weight stored in INT8, and {target.name} wants it in FP32, before a "
                "quantizer",
                'quantize with rest="float32"',
                _REST,
            )


def _moved(quantizers: Quantizers) -> Iterator[LintFinding]:
    index = quantizers.index
    for node in quantizers.nodes:
        reader = index.producer(node.input[0]) if node.op_type == "DequantizeLinear" else None
        while reader is not None and reader.op_type not in QUANTIZERS and reader.input:
            constant = reader.input[0]
            if constant in index.initializers:
                yield LintFinding(
                    "moved-constant",
                    "error",
                    label(node),
                    f"{label(reader)!r}, a {reader.op_type}, stands between constant {constant!r} and "
                    f"dequantizer {label(node)!r}, and TensorRT lets nothing else read a constant of "
                    f"{quantizers.type_name(node)}",
                    f"dequantize first, then {reader.op_type}",
                )
            reader = index.producer(constant)


def _layers(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    for node in quantizers.layers():
        sources = [quantizers.dequantizer(name) for name in node.input[:2]]
        names = [quantizers.type_name(source) for source in sources if source is not None]
        # UINT8 is read as INT8, and weights of four bits are widened to it.
        quantized = tuple(name.replace("UINT8", "INT8") for name in names)
        if len(set(quantized) - {"UNDEFINED"}) > 1 and quantized != ("INT8", "INT4"):
            yield LintFinding(
                "mixed-types",
                "error",
                label(node),
                f"the input of {label(node)!r} is quantized to {names[0]} and its weight to {names[1]}",
                "quantize both to one type",
            )
        kinds = {
            read.elem_type
            for name in node.input[:2]
            if (read := quantizers.view.types.get(name)) is not None and read.elem_type
        }
        if len(kinds) > 1:
            yield LintFinding(
                "mixed-types",
                "error",
                label(node),
                f"{label(node)!r} reads an input and a weight of different types",
                "give both dequantizers scales of one type",
            )
        if (
            not target.reads_every_quantized_convolution
            and is_1d_convolution(node, quantizers.index)
            and quantizers.dequantizer(node.input[1]) is not None
        ):
            yield LintFinding(
                "quantized-1d-convolution",
                "warning",
                label(node),
                f"{label(node)!r} is a quantized 1-D convolution, which {target.name} cannot read",
                "build with trtforge, which writes it as a 2-D one",
            )
