"""TensorRT-RTX 1.7 fails on a sum of two INT8 products of one tensor that give FP32 and FP16."""

import pytest

from tests.graph.networks import build_rtx
from tests.graph.test_split_dequantizers import one_quantizer_for_two
from trtforge.graph import to_float16


def test_the_sum_of_both_is_not_built_and_builds_where_it_is_float32_too():
    pytest.importorskip("tensorrt_rtx")
    model = one_quantizer_for_two(added=True)
    with pytest.raises(AssertionError, match="TensorRT-RTX built nothing"):
        build_rtx(to_float16(model, keep_float32=["a"]))
    assert build_rtx(to_float16(model, keep_float32=["a", "y"])) > 1000
