import numpy as np
import pytest

from trtforge.errors import ExecutionError, InputError
from trtforge.speech.whisper import token_starts

pytest.importorskip("numba")


def test_a_clear_diagonal_gives_its_own_times():
    attention = np.full((2, 3, 30), 1e-3, np.float32)
    for symbol in range(3):
        attention[:, symbol, 10 * symbol : 10 * symbol + 10] = 0.1
    np.testing.assert_allclose(token_starts(attention), [0.0, 0.2, 0.4])


def test_one_symbol_begins_at_the_begin():
    assert token_starts(np.full((1, 1, 5), 0.2, np.float32)).tolist() == [0.0]


@pytest.mark.parametrize("shape", [(0, 1, 5), (1, 0, 5), (1, 1, 0), (3, 4)])
def test_empty_attention_is_refused(shape):
    with pytest.raises(InputError, match=r"must be \[heads, symbols, steps\], none empty"):
        token_starts(np.zeros(shape, np.float32))
    with pytest.raises(InputError, match="median_width must be odd, got 4"):
        token_starts(np.ones((1, 1, 5), np.float32), median_width=4)


def test_attention_that_is_no_number_gives_no_times():
    with pytest.raises(ExecutionError, match="the attention of the alignment heads has NaN"):
        token_starts(np.full((1, 3, 5), np.nan, np.float32))


@pytest.mark.parametrize("seed", range(5))
def test_times_are_those_of_transformers_for_the_same_attention(seed):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from transformers.generation import GenerateEncoderDecoderOutput

    from tests.speech.whisper import small

    model = small.model()
    torch.manual_seed(seed)
    symbols, steps, prompt = 12 + seed, 40 + seed, 4
    layers = [torch.softmax(3 * torch.randn(1, 4, prompt + symbols, 50), -1) for _ in range(2)]
    outputs = GenerateEncoderDecoderOutput(
        cross_attentions=(tuple(layers),), sequences=torch.zeros(1, prompt + symbols + 1)
    )
    wanted = model._extract_token_timestamps(
        outputs, small.HEADS, num_frames=2 * steps, num_input_ids=prompt
    )[0, prompt : prompt + symbols]
    attention = np.stack([layers[layer][0, head].numpy() for layer, head in small.HEADS])
    found = token_starts(attention[:, prompt:, :steps])
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)


def test_the_aligner_gives_the_attention_of_the_decoder(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("onnxruntime")
    from tests.speech.whisper import small
    from trtforge.runtime import OnnxRunner
    from trtforge.speech.whisper import export_whisper

    model = small.model()
    export_whisper((model, small.tokenizer()), tmp_path)
    features = np.random.default_rng(0).standard_normal((2, 80, 100)).astype(np.float32)
    tokens = np.random.default_rng(1).integers(0, 250, (2, 9)).astype(np.int32)
    states = OnnxRunner(tmp_path / "encoder.onnx").run({"features": features})["states"]
    found = OnnxRunner(tmp_path / "aligner.onnx").run({"states": states, "tokens": tokens})["attention"]
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            wanted = model(
                input_features=torch.tensor(features),
                decoder_input_ids=torch.tensor(tokens).long(),
                output_attentions=True,
            ).cross_attentions
    finally:
        model.set_attn_implementation("sdpa")
    assert found.shape == (2, 3, 9, 50)
    for index, (layer, head) in enumerate(small.HEADS):
        np.testing.assert_allclose(found[:, index], wanted[layer][:, head].numpy(), atol=2e-5)
