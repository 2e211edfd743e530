"""A causal checkpoint as a language model: texts, chat, rows that remember, folders without PyTorch."""

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

from tests.speech.causal import small  # noqa: E402
from tests.speech.generation import checkpoints  # noqa: E402
from trtforge.errors import ConfigError, InputError, ModelError  # noqa: E402
from trtforge.speech.causal import LanguageModel, Message, build_language_model, export_language_model  # noqa: E402
from trtforge.speech.generation import NoRepeat, Sample  # noqa: E402

PROMPTS = [
    "the talk",
    "an engine runs fast . we say it",
    "clips",
    "key points : the calibration clips are short",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def model(folder):
    with LanguageModel.load(folder, num_threads=1) as loaded:
        yield loaded


def wanted(prompt, new=12):
    """What transformers writes after a prompt."""
    tokenizer = small.tokenizer()
    given = torch.tensor([tokenizer(prompt)["input_ids"]])
    with torch.no_grad():
        tokens = (
            checkpoints.llama(0)
            .generate(given, attention_mask=torch.ones_like(given), max_new_tokens=new, do_sample=False)[0]
            .tolist()[given.shape[1] :]
        )
    return tuple(tokens[:-1] if tokens[-1] == 2 else tokens)


def test_texts_are_those_of_transformers(model):
    found = model.complete(PROMPTS, max_new_tokens=12)
    assert [one.tokens for one in found] == [wanted(prompt) for prompt in PROMPTS]
    assert len({one.text for one in found}) == 4
    assert found[1].text == small.tokenizer().decode(found[1].tokens)
    assert [one.num_prompt_tokens for one in found] == [2, 8, 1, 8]
    assert all(one.is_complete == (len(one.tokens) < 12) and one.log_probability <= 0 for one in found)


def test_more_prompts_than_rows_are_written_in_turn(folder):
    with LanguageModel.load(folder, max_batch=2, num_threads=1) as two:
        told = []
        found = two.complete([*PROMPTS, *PROMPTS], max_new_tokens=12, on_progress=lambda *at: told.append(at))
        assert [one.tokens for one in found] == [wanted(prompt) for prompt in PROMPTS] * 2
        assert told[-1] == (8, 8)
        # Nothing of it is taken for what a row holds.
        assert [one.num_held_tokens for one in two.complete(PROMPTS[:2])] == [0, 0]


def test_a_prompt_that_grows_costs_only_what_was_added(model):
    begin = "key points of the talk : an engine runs fast ."
    for prompt, held in [(begin, 0), (f"{begin} clips are short .", 11), (f"{begin} clips are so", 13)]:
        (found,) = model.complete([prompt], max_new_tokens=12)
        assert found.tokens == wanted(prompt)
        if held:
            assert found.num_held_tokens == held
    (again,) = model.complete([f"{begin} clips are so"], max_new_tokens=12)
    assert (again.tokens, again.num_held_tokens) == (found.tokens, 13)


def test_turns_are_joined_by_the_checkpoints_template(model, tmp_path):
    turns = [Message("user", "the talk is short")]
    (found,) = model.complete([turns], max_new_tokens=12)
    assert found.tokens == wanted("user : the talk is short </s> so")
    assert model.count(turns) == 8
    plain = small.write(tmp_path, chat=False)
    with LanguageModel.load(plain, num_threads=1) as other:
        (found,) = other.complete([turns], max_new_tokens=12)
        assert found.tokens == wanted("the talk is short\n\n")


def test_an_exported_folder_needs_no_pytorch(folder, tmp_path, monkeypatch):
    export_language_model(folder, tmp_path, max_positions=48)
    monkeypatch.delattr("trtforge.speech.causal.networks.load_checkpoint")
    with LanguageModel.load(tmp_path, num_threads=1) as loaded:
        assert loaded.num_positions == 48
        assert [one.tokens for one in loaded.complete(PROMPTS, max_new_tokens=12)] == [
            wanted(prompt) for prompt in PROMPTS
        ]


def test_rows_of_no_symbols_are_refused_of_an_exported_folder_too(folder, tmp_path):
    export_language_model(folder, tmp_path, max_positions=48)
    with pytest.raises(ConfigError, match="max_positions must be 1 or more, got 0"):
        LanguageModel.load(tmp_path, max_positions=0)


def test_an_exported_folder_keeps_the_type_of_its_keys(folder, tmp_path):
    halves, again = tmp_path / "halves", tmp_path / "again"
    export_language_model(folder, halves, kv_dtype="float16")
    with pytest.raises(ConfigError, match=r"kv_dtype is 'float32', and .*halves was exported with 'float16'"):
        export_language_model(halves, again)
    assert not again.exists()
    export_language_model(halves, again, kv_dtype="float16")
    with LanguageModel.load(again, num_threads=1) as loaded:
        assert {one.dtype for one in loaded.decoder.inputs if one.name.startswith("self_")} == {"float16"}


def test_runs_that_came_before_do_not_come_again(model):
    (plain,) = model.complete(["are"], max_new_tokens=40)
    pairs = list(zip(plain.tokens, plain.tokens[1:], strict=False))
    assert len(pairs) > len(set(pairs))
    (guarded,) = model.complete(["are"], max_new_tokens=40, pick=NoRepeat(2))
    pairs = list(zip(guarded.tokens, guarded.tokens[1:], strict=False))
    assert len(pairs) == len(set(pairs)) >= 5


def test_the_next_best_symbol_takes_the_place_of_a_repetition():
    scores = np.log(np.array([0.1, 0.6, 0.3], np.float32))
    assert NoRepeat(2)(scores, [1, 2, 1]) == 1
    assert NoRepeat(2)(scores, [2, 1, 2]) == 2
    assert NoRepeat(1)(scores, [1, 2]) == 0
    with pytest.raises(ConfigError, match="size must be 1 or more, got 0"):
        NoRepeat(0)


def test_texts_can_be_drawn(model):
    drawn = {model.complete(["we"], max_new_tokens=8, pick=Sample(3.0, seed))[0].tokens for seed in (1, 2, 3)}
    assert len(drawn) == 3


def test_what_cannot_be_continued_is_refused(model):
    with pytest.raises(InputError, match="prompts must be a list of prompts, got one string"):
        model.complete("the talk")
    with pytest.raises(InputError, match="prompt 1 has 65 symbols, a row can hold 64"):
        model.complete(["the", "the " * 65])
    with pytest.raises(InputError, match="the prompt is empty"):
        model.complete([""])
    with pytest.raises(ConfigError, match="max_batch must be 1 or more, got 0"):
        LanguageModel(model.prompts, model.decoder, 64, 0)


def test_what_is_no_language_model_is_named(folder, tmp_path):
    with pytest.raises(ModelError, match="cannot be read as a checkpoint of transformers"):
        LanguageModel.load(tmp_path / "nothing")
    small.write(tmp_path / "marian", "marian")
    with pytest.raises(ModelError, match="is of kind 'marian', which has an encoder"):
        LanguageModel.load(tmp_path / "marian")
    with pytest.raises(ConfigError, match="device must be 'cpu' or 'gpu', got 'tpu'"):
        LanguageModel.load(folder, device="tpu")
    with pytest.raises(ModelError, match=r"lacks decoder\.engine"):
        LanguageModel.load(folder, device="gpu")


def test_a_folder_without_the_network_is_named(folder, tmp_path):
    with pytest.raises(ModelError, match=r"no description of the networks at .*language_model\.json"):
        build_language_model(folder)
    (tmp_path / "language_model.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ModelError, match="is not what export_language_model writes"):
        build_language_model(tmp_path)
    with pytest.raises(ConfigError, match="num_rows must be 1 or more, got 0"):
        build_language_model(folder, num_rows=0)


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ("[]", "is no generation_config.json: it holds no object"),
        ("{", "is no generation_config.json: Expecting property name"),
        ('{"eos_token_id": "</s>"}', "says that eos_token_id is '</s>', wanted one symbol or more"),
        ('{"eos_token_id": []}', r"says that eos_token_id is \[\], wanted one symbol or more"),
    ],
)
def test_what_a_checkpoint_says_of_its_end_must_be_symbols(folder, tmp_path, told, match):
    copied = shutil.copytree(folder, tmp_path / "checkpoint")
    (copied / "generation_config.json").write_text(told)
    with pytest.raises(ModelError, match=match):
        LanguageModel.load(copied)


def test_weights_of_more_layers_than_the_configuration_has_are_told(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "checkpoint")
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with pytest.raises(ModelError, match=r"has 9 weights of layers beyond .* such as model\.layers\.1\."):
        LanguageModel.load(copied)


def test_a_tokenizer_with_more_symbols_than_the_network_is_told(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "checkpoint")
    larger = small.tokenizer()
    larger.add_tokens(["unseen"])
    larger.save_pretrained(copied)
    with LanguageModel.load(copied, num_threads=1) as loaded:
        with pytest.raises(InputError, match="symbols lie in 0 to 109, got 5 to 110") as caught:
            loaded.complete(["unseen points"])
        assert caught.value.hint == "are tokenizer and network of the same checkpoint?"
        assert loaded.complete(["key points"], max_new_tokens=3)[0].tokens
