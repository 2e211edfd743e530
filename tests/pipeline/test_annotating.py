"""A network is told how it is fed and read."""

import onnx
import pytest

import trtforge
from trtforge.errors import ConfigError, ModelError
from trtforge.model import load_model, model_metadata
from trtforge.pipeline.annotating import infer_stride

FEATURES = trtforge.LogMel(num_mels=40, hop_length=200, input_name="features")
DECODER = trtforge.CtcDecoder(("a", "b"), blank=2, output="scores", frames_per_output=2)


def network(stride: int = 2, *, steps: str = "steps") -> onnx.ModelProto:
    model = onnx.parser.parse_model(f"""
        <ir_version: 9, opset_import: ["" : 17]>
        asr (float[N, 40, T] features) => (float[N, {steps}, 3] scores)
        <float[3, 40, 5] w = {{{", ".join(["0.5"] * 600)}}}> {{
            c = Conv <pads = [2, 2], strides = [{stride}]> (features, w)
            scores = Transpose <perm = [0, 2, 1]> (c)
        }}
    """)
    assert isinstance(model, onnx.ModelProto)
    return model


def test_features_and_decoder_are_read_back_and_other_metadata_stays() -> None:
    plain = network()
    onnx.helper.set_model_props(plain, {"author": "me", "trtforge.features": "{}"})
    fed = trtforge.annotate(plain, features=FEATURES)
    both = trtforge.annotate(fed, decoder=DECODER)
    assert trtforge.LogMel.for_model(both) == FEATURES
    assert trtforge.CtcDecoder.for_model(both) == DECODER
    assert sorted(model_metadata(both)) == ["author", "trtforge.decoder", "trtforge.features"]
    assert model_metadata(plain) == {"author": "me", "trtforge.features": "{}"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"features": trtforge.LogMel()}, "no input of that name; it has features: float32"),
        ({"features": trtforge.LogMel(input_name="features")}, "the network wants 40 bands"),
        (
            {"decoder": trtforge.CtcDecoder(("a",), 1, "scores")},
            r"reads \[batch, time, 2\], the network gives scores: float32 \[N, steps, 3\]",
        ),
        ({"decoder": trtforge.CtcDecoder(("a", "b"), 2, "y")}, r"reads output 'y', the network has \['sc"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        trtforge.annotate(network(), **given)  # type: ignore[arg-type]


def test_nothing_to_state_is_an_error() -> None:
    with pytest.raises(ConfigError, match="there is nothing to state"):
        trtforge.annotate(network())


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_stride_is_read_from_the_shapes(stride: int) -> None:
    assert infer_stride(network(stride), "scores") == stride


def test_a_stride_that_shapes_do_not_show_is_asked_for() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 17]>
        asr (float[N, 40, T] features, float[N, T] mask) => (float[N, steps, 40] scores) {
            scores = Transpose <perm = [0, 2, 1]> (features)
        }
    """)
    with pytest.raises(ModelError, match="does not show in the network's shapes") as caught:
        infer_stride(model, "scores")
    assert caught.value.settings == ("stride",)


def test_the_bundled_network_states_its_own_stride() -> None:
    from tests.bundled import MODEL

    model = load_model(MODEL)
    decoder = trtforge.CtcDecoder.for_model(model)
    assert infer_stride(model, decoder.output) == decoder.frames_per_output
