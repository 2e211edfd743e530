"""Attention is built, with a kernel for it or without."""

import onnx.parser
import pytest

import trtforge
from trtforge.graph import lint
from trtforge.nvidia.attention import allow_decomposing
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline.linting import lint_target

RTX = lint_target(flavor_for("tensorrt_rtx", "1.7"))


def attention(size, dtype="float16"):
    return onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 23]>
        net ({dtype}[1, 2, 16, {size}] q, {dtype}[1, 2, 16, {size}] k, {dtype}[1, 2, 16, {size}] v)
            => ({dtype}[1, 2, 16, {size}] y) {{ y = Attention (q, k, v) }}
    """)


def as_parsed(model, *, allow):
    """Let TensorRT-RTX build a network as its parser reads it; return the size of the plan, 0 for none."""
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    assert trt.OnnxParser(network, logger).parse(model.SerializeToString())
    if allow:
        assert allow_decomposing(trt, network) == 1
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    return 0 if plan is None else plan.nbytes


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(8, "float16"), (9, "float16"), (64, "bfloat16"), (256, "float16"), (257, "float16"), (64, "float")],
)
def test_what_lint_says_of_kernels_is_so_and_all_are_built(size, dtype):
    model = attention(size, dtype)
    findings = lint(model, RTX)
    assert bool(as_parsed(model, allow=False)) == (not findings)
    assert as_parsed(model, allow=True)


def test_a_kernel_is_taken_where_there_is_one():
    assert as_parsed(attention(64), allow=True) == as_parsed(attention(64), allow=False)


def test_build_takes_what_has_no_kernel():
    pytest.importorskip("tensorrt_rtx")
    engine = trtforge.build(attention(64, "float"), flavor="tensorrt_rtx")
    assert len(engine.plan) > 10_000


def test_findings_name_the_type_or_the_width():
    (finding,) = lint(attention(8), RTX)
    assert (finding.rule, finding.severity) == ("attention-without-kernel", "warning")
    assert finding.message == (
        "'y' is an Attention with heads 8 wide, and tensorrt_rtx 1.7 has kernels for FP16 and BF16, heads 9 "
        "to 256 wide"
    )
    (finding,) = lint(attention(64, "float"), RTX)
    assert "is an Attention in FP32" in finding.message
    assert finding.remedy == "type it FP16, or build with trtforge, which takes it apart"
    model = attention(64)
    packed = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 23]>
        net (float16[1, 16, 64] q) => (float16[1, 16, 64] y) {
            y = Attention <q_num_heads = 8, kv_num_heads = 8> (q, q, q)
        }
    """)
    assert "heads 8 wide" in lint(packed, RTX)[0].message
    assert lint(model, RTX) == lint(attention(8), lint_target(Flavor("11.4.0"))) == ()


def test_a_library_that_has_no_attention_is_left_alone():
    assert allow_decomposing(object(), None) == 0
