"""ONNX's own tests of each operator, typed FP16 and BF16, beside the same network in FP32."""

import numpy as np
import onnx
import pytest

from tests.graph.backend_cases import all_close, run
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


@pytest.mark.parametrize(
    ("to_half", "widen", "tolerance"),
    [(to_float16, widen_float16, 0.01), (to_bfloat16, widen_bfloat16, 0.06)],
    ids=["float16", "bfloat16"],
)
def test_every_operator_computes_the_same(cases, to_half, widen, tolerance):
    wrong, right = [], 0
    for case in cases:
        model = case.model
        if to_half is to_bfloat16 and any("Quantize" in node.op_type for node in model.graph.node):
            continue
        typed = to_half(model)
        if is_valid(model):
            onnx.checker.check_model(typed, full_check=True)
        try:
            got = run(widen(typed), case.arrays)
        except ModelError as error:
            wrong.append(f"{case.name}: {error.message}")
            continue
        if all_close(case.expected, got, tolerance):
            right += 1
        elif case.name not in KNOWN:
            wrong.append(case.name)
    assert wrong == []
    assert right > 500


def is_valid(model):
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


def test_what_differs_does_so_for_its_reason(cases):
    for case in (case for case in cases if case.name in KNOWN):
        got = run(widen_float16(to_float16(case.model)), case.arrays)
        if KNOWN[case.name] == LOWEST:
            assert min(value.min() for value in case.expected) == np.finfo(np.float32).min
            assert min(value.min() for value in got) == -np.inf
        else:
            steps = [
                np.abs(before.astype(int) - after.astype(int)).max()
                for before, after in zip(case.expected, got, strict=True)
                if before.dtype == np.uint8
            ]
            assert max(steps) == 1
