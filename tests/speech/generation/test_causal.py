"""A causal checkpoint with its cache outside gives the tokens that transformers gives."""

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

from tests.speech.generation import checkpoints  # noqa: E402
from trtforge.errors import ConfigError, InputError, ModelError  # noqa: E402
from trtforge.model import model_inputs  # noqa: E402
from trtforge.runtime import OnnxRunner  # noqa: E402
from trtforge.speech.generation import (  # noqa: E402
    DecoderSignature,
    Request,
    RowDecoder,
    Seat,
    Suppress,
    decoder_profiles,
    export_causal,
    generate,
)

NEW, STOP = 16, 2
RULES = Suppress(always=frozenset({7, 8}), first=frozenset({2, 9}))


@functools.cache
def network(kind, seed):
    exported = export_causal(getattr(checkpoints, kind)(seed), num_masks=2)
    return OnnxRunner(exported.decoder, num_threads=1), exported.num_positions


def prompts_of(seed, lengths=(1, 2, 5, 11, 23)):
    random = np.random.default_rng(seed)
    return [tuple(random.integers(3, 110, length).tolist()) for length in lengths]


def expected(kind, seed, prompts, new=NEW, *, ruled=True):
    """What transformers gives for each prompt by itself, without what follows the end."""
    forbidden = {"suppress_tokens": sorted(RULES.always), "begin_suppress_tokens": sorted(RULES.first)}
    found = []
    for prompt in prompts:
        with torch.no_grad():
            tokens = (
                getattr(checkpoints, kind)(seed)
                .generate(
                    torch.tensor([prompt]),
                    attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                    max_new_tokens=new,
                    do_sample=False,
                    **(forbidden if ruled else {}),
                )[0]
                .tolist()[len(prompt) :]
            )
        found.append(tuple(tokens[: tokens.index(STOP)] if STOP in tokens else tokens))
    return found


def ours(kind, seed, prompts, num_rows, new=NEW, **settings):
    decoder, num_positions = network(kind, seed)
    rows = RowDecoder(decoder, num_rows=num_rows, num_positions=num_positions, rules=RULES, bucket=8)
    seats = (
        Seat(Request(prompt, new, frozenset({STOP}), RULES, key=row)) for row, prompt in enumerate(prompts)
    )
    done = {one.request.key: one.tokens for one in generate(rows, seats, **settings)}
    return [done[row] for row in range(len(prompts))]


@pytest.mark.parametrize("kind", ["llama", "phi3", "gpt2"])
@pytest.mark.parametrize("seed", [0, 1])
def test_tokens_are_those_of_transformers_in_any_number_of_rows(kind, seed):
    prompts = prompts_of(seed)
    wanted = expected(kind, seed, prompts)
    assert len(set(wanted)) == 5
    for num_rows in (1, 2, 7):
        assert ours(kind, seed, prompts, num_rows) == wanted


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Qwen2", {"num_key_value_heads": 2}),
        ("Qwen3", {"num_key_value_heads": 2, "head_dim": 16}),
        ("Mistral", {"num_key_value_heads": 1, "sliding_window": None}),
        ("GPTNeoX", {"rotary_pct": 0.5}),
    ],
)
def test_other_architectures_need_no_code_of_their_own(kind, settings):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**checkpoints.CAUSAL_SIZES, **settings)
    model = checkpoints.loud(getattr(transformers, f"{kind}ForCausalLM")(config), 3)
    exported = export_causal(model)
    rows = RowDecoder(OnnxRunner(exported.decoder, num_threads=1), num_rows=2, num_positions=64)
    prompts = prompts_of(7, (3, 12, 6))
    found = {
        one.request.key: list(one.tokens)
        for one in generate(rows, [Seat(Request(prompt, 12, frozenset(), key=prompt)) for prompt in prompts])
    }
    for prompt in prompts:
        with torch.no_grad():
            tokens = model.generate(
                torch.tensor([prompt]), min_new_tokens=12, max_new_tokens=12, do_sample=False,
                eos_token_id=[],
            )[0].tolist()[len(prompt) :]  # fmt: skip
        assert found[prompt] == tokens


def test_prompts_given_at_once_or_symbol_by_symbol_are_the_same():
    prompts = prompts_of(5, (30, 30, 17))
    wanted = expected("llama", 2, prompts)
    for max_prefill in (1, 4, 64):
        assert ours("llama", 2, prompts, 3, max_prefill=max_prefill) == wanted


def test_query_heads_that_share_keys_share_them_in_the_cache():
    decoder, num_positions = network("llama", 0)
    signature = DecoderSignature.of(decoder.inputs)
    assert (signature.num_layers, signature.num_heads, signature.head_width) == (2, 2, 8)
    assert (signature.has_memory, signature.memory_length, num_positions) == (False, 0, 64)
    assert signature.names("cross") == ()


def test_a_row_goes_on_from_what_it_holds():
    decoder, num_positions = network("llama", 0)
    (whole,) = prompts_of(3, (40,))
    (wanted,) = expected("llama", 0, [whole])
    rows = RowDecoder(decoder, num_rows=1, num_positions=num_positions, rules=RULES)
    list(generate(rows, [Seat(Request(whole[:32], 3, frozenset(), RULES))], max_prefill=64))
    fed = []
    extend = rows.extend

    def counting(tokens, positions, choices):
        fed.append((int(positions[0]), tokens.shape[1]))
        return extend(tokens, positions, choices)

    rows.extend = counting
    seat = Seat(Request(whole, NEW, frozenset({STOP}), RULES), num_held=32)
    (again,) = generate(rows, [seat], max_prefill=64)
    assert again.tokens == wanted
    assert fed[0] == (32, 8)


def test_rows_stop_at_the_end_of_a_sliding_window():
    _, num_positions = network("phi3", 0)
    assert num_positions == 40
    (tokens,) = ours("phi3", 0, prompts_of(1, (30,)), 1, new=99)
    assert len(tokens) == 11 or tokens == expected("phi3", 0, prompts_of(1, (30,)), 99)[0]
    with pytest.raises(InputError, match="a row would hold 41 symbols, it can hold 40"):
        ours("phi3", 0, prompts_of(1, (41,)), 1, max_prefill=64)


def test_angles_of_a_long_rotary_scaling_are_those_for_short_texts():
    torch.manual_seed(0)
    config = transformers.Phi3Config(
        **{**checkpoints.CAUSAL_SIZES, "max_position_embeddings": 128},
        num_key_value_heads=4,
        original_max_position_embeddings=32,
        rope_scaling={"rope_type": "longrope", "short_factor": [1.5] * 4, "long_factor": [9.0] * 4},
        sliding_window=None,
    )
    model = checkpoints.loud(transformers.Phi3ForCausalLM(config), 3)
    exported = export_causal(model)
    assert exported.num_positions == 32
    rows = RowDecoder(OnnxRunner(exported.decoder, num_threads=1), num_rows=1, num_positions=32)
    (prompt,) = prompts_of(2, (9,))
    (found,) = generate(rows, [Seat(Request(prompt, 20, frozenset({STOP})))])
    with torch.no_grad():
        wanted = model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)[0].tolist()[9:]
    assert list(found.tokens) == (wanted[:-1] if wanted[-1] == STOP else wanted)


def test_the_checkpoint_is_left_as_it_was():
    model = checkpoints.llama(4)
    before = model(torch.tensor([[5, 6, 7]])).logits
    export_causal(model)
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(model(torch.tensor([[5, 6, 7]])).logits, before)


def test_its_engine_has_profiles_for_steps_and_prompts_alone():
    exported = export_causal(checkpoints.llama(0))
    inputs = model_inputs(exported.decoder)
    steps, more, prompts = decoder_profiles(inputs, num_rows=2, num_positions=64, bucket=32, max_prefill=16)
    assert steps.shapes["self_key_1"].max == (2, 2, 32, 8)
    assert more.shapes["self_key_1"].max == (2, 2, 64, 8)
    assert prompts.shapes["tokens"].max == (2, 16)
    assert not any(name.startswith("cross") for name in prompts.shapes)


@pytest.mark.parametrize(
    ("kind", "sizes", "reason"),
    [
        (
            "Bloom",
            {"hidden_size": 32, "n_layer": 2, "n_head": 4},
            "cannot be given a key-value cache of rows",
        ),
        (
            "Mpt",
            {"d_model": 32, "n_layers": 2, "n_heads": 4},
            "0 of 2 layers of the checkpoint have attention",
        ),
        ("Mamba", {"hidden_size": 32, "num_hidden_layers": 2}, "no attribute 'num_attention_heads'"),
        ("Rwkv", {"hidden_size": 32, "num_hidden_layers": 2}, "no attribute 'num_attention_heads'"),
        (
            "Gemma3",
            {**checkpoints.CAUSAL_SIZES, "num_key_value_heads": 2, "head_dim": 8},
            "'gemma3_text' cannot be given a key-value cache of rows: .*'layer_type'",
        ),
    ],
)
def test_architectures_that_cannot_have_a_cache_of_rows_are_named(kind, sizes, reason):
    name = f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config"
    config = getattr(transformers, name)(**{"vocab_size": 50, **sizes})
    with pytest.raises(ModelError, match=reason):
        export_causal(getattr(transformers, f"{kind}ForCausalLM")(config).eval())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_that_are_no_fp32_are_told_before_anything_runs(dtype):
    config = transformers.LlamaConfig(**checkpoints.CAUSAL_SIZES)
    model = transformers.LlamaForCausalLM(config).to(getattr(torch, dtype))
    with pytest.raises(ModelError, match=f"in FP32 was expected, got one with weights of {dtype}") as caught:
        export_causal(model)
    assert caught.value.hint == "load it with dtype=torch.float32, or call its float()"


def test_rows_end_with_a_chunk_of_attention_and_not_with_what_is_no_window():
    def rows(**settings):
        config = transformers.LlamaConfig(**checkpoints.CAUSAL_SIZES, **settings)
        return export_causal(transformers.LlamaForCausalLM(config).eval()).num_positions

    assert rows(attention_chunk_size=24) == 24
    assert rows(sliding_window=-1) == 64
    assert rows(max_window_layers=28) == 64


def test_a_window_under_a_name_of_its_own_is_found():
    class Near(transformers.LlamaForCausalLM):
        """Sees what the eight symbols before left."""

        def forward(self, input_ids, attention_mask=None, **more):
            if attention_mask is None:
                places = torch.arange(input_ids.shape[1])
                back = places[:, None] - places[None, :]
                attention_mask = torch.where((back >= 0) & (back < 8), 0.0, -1e9)[None, None]
            return super().forward(input_ids, attention_mask=attention_mask, **more)

    torch.manual_seed(0)
    near = Near(transformers.LlamaConfig(**checkpoints.CAUSAL_SIZES, local_attention=8)).eval()
    with pytest.raises(ModelError, match="given in parts, the scores of a text of 16 symbols differ"):
        export_causal(checkpoints.loud(near, 3))


def test_the_shortest_rows_can_be_had():
    exported = export_causal(checkpoints.llama(0), max_positions=2)
    rows = RowDecoder(OnnxRunner(exported.decoder, num_threads=1), num_rows=1, num_positions=2)
    (found,) = generate(rows, [Seat(Request((5,), 9, frozenset()))])
    assert (exported.num_positions, len(found.tokens)) == (2, 2)
    assert found.tokens == expected("llama", 0, [(5,)], 2, ruled=False)[0]


def test_attention_of_another_form_is_refused():
    torch.manual_seed(0)
    config = transformers.Gemma2Config(**checkpoints.CAUSAL_SIZES, num_key_value_heads=2, head_dim=8)
    with pytest.raises(ModelError, match="the checkpoint's attention has softcap, which rows do not know"):
        export_causal(transformers.Gemma2ForCausalLM(config).eval())
    with pytest.raises(ModelError, match=r"a causal language model was expected, got .* 'marian'"):
        export_causal(checkpoints.marian(0))
    with pytest.raises(ConfigError, match="max_positions must be 1 or more, got 0"):
        export_causal(checkpoints.llama(0), max_positions=0)


@pytest.mark.parametrize(("kind", "experts"), [("Mixtral", "num_local_experts"), ("Qwen3Moe", "num_experts")])
def test_experts_are_chosen_by_the_network_or_refused(kind, experts):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        **checkpoints.CAUSAL_SIZES, num_key_value_heads=2, head_dim=8, num_experts_per_tok=2,
        moe_intermediate_size=32, **{experts: 4},
    )  # fmt: skip
    model = checkpoints.loud(getattr(transformers, f"{kind}ForCausalLM")(config), 3)
    for way in ("eager", "grouped_mm"):
        model.set_experts_implementation(way)
        with pytest.raises(
            ModelError, match="choose among 4 experts by what they read, and a trace"
        ) as caught:
            export_causal(model)
        assert "set_experts_implementation('batched_mm')" in caught.value.hint
    model.set_experts_implementation("batched_mm")
    exported = export_causal(model)
    rows = RowDecoder(OnnxRunner(exported.decoder, num_threads=1), num_rows=2, num_positions=64)
    for prompt in prompts_of(4, (1, 9)):
        (found,) = generate(rows, [Seat(Request(prompt, NEW, frozenset()))])
        with torch.no_grad():
            wanted = model.generate(
                torch.tensor([prompt]), max_new_tokens=NEW, do_sample=False, eos_token_id=[]
            )[0].tolist()[len(prompt) :]
        assert list(found.tokens) == wanted


def test_what_pytorch_cannot_trace_is_named():
    config = transformers.HeliumConfig(**checkpoints.CAUSAL_SIZES, num_key_value_heads=2, head_dim=8)
    with pytest.raises(
        ModelError, match="checkpoints of kind 'helium' cannot be traced: PyTorch cannot export"
    ):
        export_causal(transformers.HeliumForCausalLM(config).eval())
