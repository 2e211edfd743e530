"""ONNX's own tests of each operator, typed FP16 and BF16, beside the same network in FP32."""

import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.backend.test.loader import load_model_tests

from trtforge._ort import make_session
from trtforge.errors import ModelError
from trtforge.graph import to_bfloat16, to_float16, widen_bfloat16, widen_float16

# What differs, and why that is right.
LOWEST = "it gives out masked scores, FP32's lowest number, which becomes infinite in 16 bits"
ROUNDED = "it gives out integers, and 16 bits decide ties otherwise"
KNOWN = {
    "test_attention_4d_with_past_and_present_qk_matmul_bias_3d_mask_causal": LOWEST,
    "test_attention_4d_with_past_and_present_qk_matmul_bias_4d_mask_causal": LOWEST,
    "test_dynamicquantizelinear_expanded": ROUNDED,
    "test_dynamicquantizelinear_min_adjusted_expanded": ROUNDED,
}


def float_cases():
    """Yield name, network, input and FP32 output of each test that reads FP32 and runs in ONNX Runtime."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    for case in cases:
        model = case.model
        if model is None or not case.data_sets:
            continue
        values = [*model.graph.input, *model.graph.output]
        if not all(value.type.HasField("tensor_type") for value in values):
            continue
        if not any(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in model.graph.input):
            continue
        given = case.data_sets[0][0]
        if not all(isinstance(value, np.ndarray) or np.isscalar(value) for value in given):
            continue
        arrays = {
            value.name: np.asarray(array) for value, array in zip(model.graph.input, given, strict=False)
        }
        try:
            expected = make_session(model, purpose="test", num_threads=1).run(None, arrays)
        except Exception:  # noqa: S112 - what this release of ONNX Runtime lacks
            continue
        yield case.name, model, arrays, expected


@pytest.fixture(scope="module")
def cases():
    return list(float_cases())


def is_close(expected, got, tolerance):
    if expected.dtype.kind != "f":
        return np.array_equal(expected, got)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return expected.shape == got.shape and np.allclose(
        got, expected, rtol=tolerance, atol=tolerance * largest, equal_nan=True
    )


@pytest.mark.parametrize(
    ("to_half", "widen", "tolerance"),
    [(to_float16, widen_float16, 0.01), (to_bfloat16, widen_bfloat16, 0.06)],
    ids=["float16", "bfloat16"],
)
def test_every_operator_computes_the_same(cases, to_half, widen, tolerance):
    wrong, right = [], 0
    for name, model, arrays, expected in cases:
        if to_half is to_bfloat16 and any("Quantize" in node.op_type for node in model.graph.node):
            continue
        typed = to_half(model)
        if is_valid(model):
            onnx.checker.check_model(typed, full_check=True)
        try:
            got = make_session(widen(typed), purpose="test", num_threads=1).run(None, arrays)
        except ModelError as error:
            wrong.append(f"{name}: {error.message}")
            continue
        if all(is_close(before, after, tolerance) for before, after in zip(expected, got, strict=True)):
            right += 1
        elif name not in KNOWN:
            wrong.append(name)
    assert wrong == []
    assert right > 500


def is_valid(model):
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


def test_what_differs_does_so_for_its_reason(cases):
    found = {name: (model, arrays, expected) for name, model, arrays, expected in cases if name in KNOWN}
    for name, (model, arrays, expected) in found.items():
        got = make_session(widen_float16(to_float16(model)), purpose="test").run(None, arrays)
        if KNOWN[name] == LOWEST:
            assert min(value.min() for value in expected) == np.finfo(np.float32).min
            assert min(value.min() for value in got) == -np.inf
        else:
            steps = [
                np.abs(before.astype(int) - after.astype(int)).max()
                for before, after in zip(expected, got, strict=True)
                if before.dtype == np.uint8
            ]
            assert max(steps) == 1
