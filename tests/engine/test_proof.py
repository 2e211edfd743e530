"""What each layer was asked for, and what it got."""

import pytest

from tests.engine import fake_builder
from tests.engine.networks import PROFILE, conv_net
from trtforge.engine import BuildConfig, build
from trtforge.engine.manifest import Manifest
from trtforge.engine.proof import LayerProof, PrecisionProof, prove
from trtforge.errors import PrecisionError
from trtforge.nvidia.layers import EngineLayer
from trtforge.nvidia.selection import flavor_for
from trtforge.scales import Scales, TensorScale

V8, RTX = flavor_for("tensorrt", "8.6.0"), flavor_for("tensorrt_rtx", "1.7.1")


def rows(proof):
    return [(layer.name, layer.requested, layer.real, layer.verdict, layer.source) for layer in proof.layers]


def test_fused_names_are_taken_apart():
    layers = [
        EngineLayer("Reformatting CopyNode for Input Tensor 0 to conv1", "Reformat", "float32"),
        EngineLayer("w1 + w1_quantized + conv1 + relu1", "CaskConvolution", "int8"),
        EngineLayer("conv2 || other", "CaskConvolution", "float32"),
    ]
    proof = prove(conv_net(quantized=True), layers, precision="int8", flavor=V8)
    assert rows(proof) == [
        ("conv1", "int8", "int8", "delivered", "engine"),
        ("conv2", "float16", "float32", "fell_back", "engine"),
    ]
    assert proof.counts == {"delivered": 1, "fell_back": 1, "unknown": 0, "by_graph": 0}
    assert str(proof) == "1 of 2 layers as asked, 1 fell back"


def test_names_of_strongly_typed_libraries_lose_their_endings():
    layers = [
        EngineLayer("__myl_MulAdd_myl0_1", "kgen", "float32", ("conv1",)),
        EngineLayer("conv2_U7+conv1_U12_myl0_4", "correlation", "float16"),
    ]
    proof = prove(conv_net("float16"), layers, precision="float16", flavor=RTX)
    assert [row[1:] for row in rows(proof)] == [("float16", "float16", "delivered", "engine")] * 2


def test_a_layer_is_also_found_by_the_nodes_that_it_stems_from():
    layers = [
        EngineLayer("fused", "gemm", "float16", ("conv1", "relu1")),
        EngineLayer("conv2", "gemm", "float16"),
    ]
    proof = prove(conv_net("float16"), layers, precision="float16", flavor=RTX)
    assert [layer.engine_layer for layer in proof.layers] == ["fused", "conv2"]


def test_nodes_without_a_name_are_known_by_their_output():
    model = conv_net()
    for node in model.graph.node:
        node.name = ""
    layers = [EngineLayer("node_of_c1 + node_of_r1", "CaskConvolution", "float16")]
    proof = prove(model, layers, precision="float16", flavor=V8)
    assert rows(proof) == [
        ("c1", "float16", "float16", "delivered", "engine"),
        ("logits", "float16", None, "unknown", "nowhere"),
    ]


def test_the_widest_of_several_layers_counts():
    layers = [EngineLayer("conv1", "gemm", "float16"), EngineLayer("conv1 + relu1", "gemm", "float32")]
    (first, _) = prove(conv_net(), layers, precision="float16", flavor=V8).layers
    assert (first.real, first.verdict) == ("float32", "fell_back")


def test_hidden_layers_are_unknown_unless_the_library_is_bound_to_the_types():
    region = [EngineLayer("{ForeignNode[conv1...conv2]}", "Myelin", None)]
    weak = prove(conv_net(quantized=True), region, precision="int8", flavor=V8)
    assert weak.counts == {"delivered": 0, "fell_back": 0, "unknown": 2, "by_graph": 0}
    bound = prove(conv_net(quantized=True), region, precision="int8", flavor=RTX)
    assert bound.counts == {"delivered": 2, "fell_back": 0, "unknown": 0, "by_graph": 2}
    assert str(bound) == "2 of 2 layers as asked, 2 of them by the graph's types"


def test_float32_is_asked_where_no_flag_allows_less():
    layers = [EngineLayer("conv1", "gemm", "float32"), EngineLayer("conv2", "gemm", "float32")]
    assert prove(conv_net(), layers, precision="float32", flavor=V8).counts["delivered"] == 2


def test_the_error_names_the_layers():
    layers = tuple(LayerProof(f"l{n}", "Conv", "int8", "float16", "e") for n in range(6))
    proof = PrecisionProof((*layers, LayerProof("hidden", "MatMul", "int8", None)))
    with pytest.raises(PrecisionError) as caught:
        proof.require()
    assert caught.value.message == (
        "the engine was built, but not all of 7 layers can be shown to run as asked; "
        "6 did not get the precision that was asked: 'l0' runs in float16, not int8, "
        "'l1' runs in float16, not int8, 'l2' runs in float16, not int8, 'l3' runs in float16, not int8, "
        "'l4' runs in float16, not int8 and 1 more; of 1 the library does not tell: 'hidden' (int8)"
    )
    assert caught.value.layers == ("l0", "l1", "l2", "l3", "l4", "l5", "hidden")
    assert PrecisionProof.from_json(proof.to_json()) == proof
    PrecisionProof((LayerProof("l", "Conv", "int8", "int8", "e"),)).require()


def test_a_real_engine_tells_its_layers():
    pytest.importorskip("tensorrt_rtx")
    config = BuildConfig(require_precision=True)
    made = build(conv_net(quantized=True), profiles=[PROFILE], flavor="tensorrt_rtx", config=config).manifest
    assert [(layer.requested, layer.real) for layer in made.proof.layers] == [
        ("int8", "int8"),
        ("float32", "float32"),
    ]
    assert made.proof.layers[0].source == "engine"
    assert made.proof.layers[0].engine_layer.startswith("conv1")
    assert Manifest.loads(made.dumps(), source="here") == made


def test_a_build_that_falls_short_is_refused_and_kept(monkeypatch, tmp_path):
    fake_builder.install(monkeypatch)
    asked = {"profiles": [PROFILE], "flavor": V8, "store": tmp_path}
    with pytest.raises(PrecisionError, match="of 1 the library does not tell: 'conv2'"):
        build(conv_net(quantized=True), config=BuildConfig(require_precision=True), **asked)
    made = build(conv_net(quantized=True), **asked).manifest
    assert made.proof.counts == {"delivered": 1, "fell_back": 0, "unknown": 1, "by_graph": 0}
    with pytest.raises(PrecisionError, match="does not tell: 'conv2'"):
        build(conv_net(quantized=True), config=BuildConfig(require_precision=True), **asked)


def test_of_a_calibrated_engine_the_layers_that_int8_is_meant_for_are_listed(monkeypatch):
    fake_builder.install(monkeypatch)
    model = conv_net()
    scales = Scales({name: TensorScale(4.0, 4.0) for name in ("mel", "r1")}, "entropy", "a" * 64, "b" * 64, 3)
    layers = [EngineLayer("conv1", "CaskConvolution", "int8"), EngineLayer("conv2", "Cask", "float16")]
    proof = prove(model, layers, precision="int8", flavor=V8, calibrated=True)
    assert rows(proof) == [
        ("conv1", "int8", "int8", "delivered", "engine"),
        ("conv2", "int8", "float16", "fell_back", "engine"),
    ]
    made = build(model, profiles=[PROFILE], flavor=V8, scales=scales, config=BuildConfig(precision="int8"))
    assert {layer.requested for layer in made.manifest.proof.layers} == {"int8"}
