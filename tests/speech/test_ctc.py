import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from trtforge.errors import ConfigError, ExecutionError, InputError, ModelError
from trtforge.model import DECODER_KEY
from trtforge.speech import CtcDecoder

VOCABULARY = (" ", "a", "b", "c")


def scores(*rows):
    """One-hot scores; "-" is the blank, which is symbol 4."""
    symbols = [[(*VOCABULARY, "-").index(symbol) for symbol in row] for row in rows]
    return {"logits": np.eye(5, dtype=np.float32)[np.array(symbols)]}


@pytest.fixture
def decoder():
    return CtcDecoder(VOCABULARY, blank=4)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("aab-bc", "abbc"),
        ("------", ""),
        ("-a-aa-", "aa"),
        ("  a   b ", "a b"),
        ("a - b", "a b"),
        ("a", "a"),
    ],
)
def test_repeats_merge_and_blanks_drop(decoder, path, text):
    assert decoder.decode(scores(path)) == [text]


def test_rows_end_at_their_true_length_rounded_up():
    decoder = CtcDecoder(VOCABULARY, blank=4, frames_per_output=2)
    # 5 frames make ceil(5 / 2) = 3 outputs, 2 frames make 1, 0 frames none
    assert decoder.decode(scores("abcc", "abcc", "abcc"), [5, 2, 0]) == ["abc", "a", ""]
    assert decoder.output_lengths("logits", [5, 2, 0]) == [3, 1, 0]
    assert decoder.output_lengths("features", [5]) is None


def test_blank_may_lie_inside_the_vocabulary():
    decoder = CtcDecoder(("<blank>", "a", "▁b"), blank=0)
    logits = np.eye(3, dtype=np.float16)[[[0, 1, 1, 0, 1, 2]]]
    assert decoder.num_symbols == 3
    assert decoder.decode({"logits": logits}) == ["aa▁b"]


def test_scores_of_another_shape_are_refused(decoder):
    with pytest.raises(InputError, match=r"must be \[batch, time, 5\], got \[1, 3, 6\]"):
        decoder.decode({"logits": np.zeros((1, 3, 6), np.float32)})
    with pytest.raises(InputError, match=r"reads output 'logits', got \['scores'\]"):
        decoder.decode({"scores": np.zeros((1, 3, 5), np.float32)})
    with pytest.raises(
        InputError, match="row 0: 4 feature frames make 4 output frames, output 'logits' has 3"
    ):
        decoder.decode(scores("abc"), [4])
    with pytest.raises(InputError, match="has 1 rows, num_frames has 2"):
        decoder.decode(scores("abc"), [3, 3])


def test_nan_has_no_text_but_padding_may_be_nan(decoder):
    outputs = scores("abc")
    outputs["logits"][0, 2, 0] = np.nan
    assert decoder.decode(outputs, [2]) == ["ab"]
    with pytest.raises(ExecutionError, match="NaN in row 0"):
        decoder.decode(outputs, [3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary": (), "blank": 0}, "vocabulary is empty"),
        ({"vocabulary": ("a",), "blank": 2}, "0 to 1 for 1 symbols, got 2"),
        ({"vocabulary": ("a",), "blank": 1, "frames_per_output": 0}, "at least 1, got 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        CtcDecoder(**settings)


def network(metadata):
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["logits"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "t", 5])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "t", 5])],
    )
    model = helper.make_model(graph)
    if metadata is not None:
        onnx.helper.set_model_props(model, {DECODER_KEY: metadata})
    return model


def test_the_network_says_how_it_is_read(decoder):
    assert CtcDecoder.for_model(network(decoder.metadata())) == decoder
    text = json.dumps(
        {"kind": "ctc", "vocabulary": list("abcd"), "blank": 4, "output": "logits", "stride": 2}
    )
    assert CtcDecoder.for_model(network(text)) == CtcDecoder(tuple("abcd"), 4, "logits", 2)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "metadata lacks 'trtforge.decoder'"),
        ("{", "is malformed"),
        ('{"kind": "ctc", "vocabulary": "ab", "blank": 2, "output": "logits"}', "is malformed"),
        ('{"kind": "ctc", "vocabulary": ["a"], "blank": true, "output": "logits"}', "is malformed"),
        ('{"kind": "rnnt", "vocabulary": ["a"], "blank": 1, "output": "logits"}', "a 'rnnt' decoder"),
        (
            '{"kind": "ctc", "vocabulary": ["a"], "blank": 9, "output": "logits"}',
            "0 to 1 for 1 symbols, got 9",
        ),
        (
            '{"kind": "ctc", "vocabulary": ["a"], "blank": 1, "output": "y"}',
            r"output 'y', the network has \['logits'\]",
        ),
    ],
)
def test_wrong_metadata_is_refused(metadata, message):
    with pytest.raises(ModelError, match=message):
        CtcDecoder.for_model(network(metadata))
