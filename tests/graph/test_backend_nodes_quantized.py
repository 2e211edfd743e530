"""ONNX's own tests of each operator, prepared and quantized, beside the same network in FP32."""

from collections import Counter
from functools import cache

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.graph.backend_cases import Case, all_close, run
from trtforge.errors import ModelError, QuantizationError
from trtforge.graph import describe, plan_placement, prepare, quantize_graph
from trtforge.graph.opset import opset_of
from trtforge.graph.rules import product_size
from trtforge.graph.rules.reshape import RESHAPES
from trtforge.scales import Scales, TensorScale

# What a scale passes through on its way to the layer that reads it, and what a layer's kernel may take in.
PASSED = RESHAPES | {"Add", "Concat", "MaxPool", "Relu"}
# What differs, and why that is right.
KNOWN = {
    "test_attention_4d_softcap_neginf_mask_poison_expanded": "masked values are a thousand times the others",
}
# Layers that are quantized in all these tests, at least.
LEAST = {"Conv": 100, "ConvTranspose": 8, "Gemm": 5, "MatMul": 100}


def variants(case):
    """Return a test with all its tensors as inputs, with all but the first as constants, and all as these."""
    names = list(case.arrays)
    return [case, case.with_constants(names[1:]), case.with_constants(names)]


def test_preparing_changes_no_operator(cases):
    wrong, right = [], 0
    for case in cases:
        for variant in variants(case):
            prepared = prepare(variant.model)
            try:
                got = run(prepared, variant.arrays)
            except ModelError:
                with pytest.raises(ModelError):  # ONNX Runtime takes some inputs as such alone
                    run(variant.model, variant.arrays)
                continue
            if all_close(case.expected, got, 1e-5):
                right += 1
            else:
                wrong.append((case.name, len(variant.arrays)))
    assert wrong == []
    assert right > 3000


def with_reader(case):
    """Return a test whose output goes, as one row, through a convolution, so that it is worth quantizing."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    weight = np.random.default_rng(0).normal(size=(16, 1, 3)).astype(np.float32)
    for name, value in (("reader.shape", np.array([1, 1, -1])), ("reader.weight", weight)):
        graph.initializer.append(numpy_helper.from_array(value, name))
    graph.node.append(helper.make_node("Reshape", [graph.output[0].name, "reader.shape"], ["reader.row"]))
    graph.node.append(helper.make_node("Conv", ["reader.row", "reader.weight"], ["reader"], pads=[1, 1]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("reader", TensorProto.FLOAT, [1, 16, None]))
    return Case(case.name, model, case.arrays, run(model, case.arrays))


@cache
def runs_quantizers(opset, ir_version):
    """Say whether ONNX Runtime has quantizers of an opset; it is behind the newest one."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale"], ["q"], output_dtype=TensorProto.INT8)
        if opset >= 21
        else helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    constants = {"scale": np.float32(0.5), "zero": np.int8(0)}
    graph = helper.make_graph(
        nodes,
        "pair",
        [value("x", TensorProto.FLOAT, [3])],
        [value("y", TensorProto.FLOAT, [3])],
        [numpy_helper.from_array(np.asarray(constant), name) for name, constant in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    try:
        run(helper.make_model(graph, opset_imports=imports, ir_version=ir_version), {"x": np.ones(3, "f")})
    except ModelError:
        return False
    return True


def is_passed(case):
    (kind, *more) = {node.op_type for node in case.model.graph.node}
    first = case.expected[0]
    return not more and kind in PASSED and len(case.expected) == 1 and first.dtype == "float32" and first.size


def scales_of(prepared, case, names):
    """Return the ranges of some tensors on the test's own input."""
    shown = onnx.ModelProto()
    shown.CopyFrom(prepared)
    known = {value.name for value in (*shown.graph.input, *shown.graph.output)}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    made = [name for name in names if name not in case.arrays]
    found = run(shown, case.arrays, made) if made else []
    values = case.arrays | dict(zip(made, found, strict=True))
    largest = {name: float(np.abs(values[name]).max()) for name in names}
    return Scales(
        {name: TensorScale(amax=value or 1.0, observed_max=value) for name, value in largest.items()},
        method="max",
        model_sha256="0" * 64,
        feeds_sha256="0" * 64,
        num_clips=1,
    )


@pytest.mark.parametrize("rest", ["float32", "float16"])
def test_every_operator_that_is_quantized_computes_nearly_the_same(cases, monkeypatch, rest):
    # The products of these tests are far below what would be worth it.
    monkeypatch.setattr(product_size, "MIN_SIZE", 1)
    wrong, differing, quantized = [], set(), Counter()
    assert runs_quantizers(21, 10)
    for case in cases:
        if not runs_quantizers(max(opset_of(case.model), 13), case.model.ir_version):
            continue
        whole = with_reader(case) if is_passed(case) else case
        for variant in variants(whole)[:2]:
            prepared = prepare(variant.model)
            try:
                plan = plan_placement(prepared, attention="int8")
            except QuantizationError:
                assert "Quantize" in str({node.op_type for node in prepared.graph.node})
                continue
            if not plan.placements:
                continue
            scales = scales_of(prepared, variant, plan.tensors)
            made = quantize_graph(prepared, scales, rest=rest, attention="int8")
            onnx.checker.check_model(made, full_check=True)
            layers = [item for item in plan.placements if item.op_type != "Add"]
            assert describe(made).counts.get("int8") == len(layers), case.name
            if all_close(whole.expected, run(made, variant.arrays), 0.02):
                quantized.update(item.op_type for item in layers)
            else:
                (differing.add if case.name in KNOWN else wrong.append)(case.name)
    assert wrong == []
    assert differing == {case.name for case in cases if case.name in KNOWN}
    assert {name for name, least in LEAST.items() if quantized[name] < least} == set()
