"""Greedy generation is that of transformers, token for token."""

import copy
import dataclasses
import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

from transformers.generation import GenerationMixin  # noqa: E402

from tests.speech.generation import checkpoints  # noqa: E402
from trtforge.errors import ConfigError, ExecutionError, InputError, ModelError  # noqa: E402
from trtforge.graph import products_in_float16  # noqa: E402
from trtforge.runtime import OnnxRunner  # noqa: E402
from trtforge.speech.generation import (  # noqa: E402
    Choice,
    Request,
    RowDecoder,
    Sample,
    Seat,
    Suppress,
    export_networks,
    generate,
)

NEW = 16
# 1 is M2M100's padding, which has no position of its own.
RULES = Suppress(always=frozenset({1, 7, 8}), first=frozenset({9}))


@functools.cache
def networks(kind, seed):
    model = getattr(checkpoints, kind)(seed)
    exported = export_networks(model, num_masks=2, ranged=kind.endswith("whisper"))
    encoder, decoder = (OnnxRunner(part, num_threads=1) for part in (exported.encoder, exported.decoder))
    return encoder, decoder, exported.num_positions


def inputs_of(kind, seed, count):
    """The encoder's feeds, the same for transformers, and the true lengths."""
    random = np.random.default_rng(seed)
    if kind.endswith("whisper"):
        bands = getattr(checkpoints, kind)(seed).config.num_mel_bins
        features = random.standard_normal((count, bands, 100)).astype(np.float32)
        return {"features": features}, {"input_features": torch.tensor(features)}, [None] * count
    lengths = random.integers(1, 12, count).astype(np.int32)
    is_real = np.arange(lengths.max())[None] < lengths[:, None]
    padding = getattr(checkpoints, kind)(seed).config.pad_token_id
    tokens = np.where(is_real, random.integers(10, 90, is_real.shape), padding).astype(np.int32)
    given = {"input_ids": torch.tensor(tokens).long(), "attention_mask": torch.tensor(is_real).long()}
    return {"tokens": tokens, "lengths": lengths}, given, lengths.tolist()


def expected(kind, seed, given, prompts, *, new=NEW):
    """What transformers gives for each row by itself, without the prompt and what follows the end."""
    model = getattr(checkpoints, kind)(seed)
    found = []
    for row, prompt in enumerate(prompts):
        ours = {name: value[row : row + 1] for name, value in given.items()}
        if "attention_mask" in ours:
            length = int(ours["attention_mask"].sum())
            ours = {name: value[:, :length] for name, value in ours.items()}
        with torch.no_grad():
            tokens = GenerationMixin.generate(
                model,
                **ours,
                decoder_input_ids=torch.tensor([prompt]),
                max_new_tokens=new,
                num_beams=1,
                do_sample=False,
                suppress_tokens=sorted(RULES.always),
                begin_suppress_tokens=sorted(RULES.first),
            )[0].tolist()[len(prompt) :]
        end = model.config.eos_token_id
        found.append(tuple(tokens[: tokens.index(end)] if end in tokens else tokens))
    return found


def ours(kind, seed, feeds, lengths, prompts, *, num_rows, new=NEW, **settings):
    encoder, decoder, num_positions = networks(kind, seed)
    memory = encoder.run(feeds)
    rows = RowDecoder(
        decoder, num_rows=num_rows, num_positions=num_positions, rules=RULES,
        memory_length=max((length or 0 for length in lengths), default=0) or None, bucket=8,
    )  # fmt: skip
    end = checkpoints.__dict__[kind](seed).config.eos_token_id
    seats = (
        Seat(Request(tuple(prompt), new, frozenset({end}), RULES, key=row), memory, row, lengths[row])
        for row, prompt in enumerate(prompts)
    )
    done = {found.request.key: found for found in generate(rows, seats, **settings)}
    return [done[row] for row in range(len(prompts))]


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        *((kind, seed) for kind in ("whisper", "marian", "m2m100", "bart", "pegasus") for seed in (0, 1)),
        *((kind, 3) for kind in ("odd_whisper", "odd_marian", "odd_m2m100")),
    ],
)
def test_tokens_are_those_of_transformers_in_any_number_of_rows(kind, seed):
    feeds, given, lengths = inputs_of(kind, seed, 5)
    start = getattr(checkpoints, kind)(seed).config.decoder_start_token_id
    prompts = [[start], [start, 20], [start, 21, 22], [start], [start, 30, 31, 32, 33]]
    wanted = expected(kind, seed, given, prompts)
    assert len(set(wanted)) >= 4
    for num_rows in (2, 7):
        found = ours(kind, seed, feeds, lengths, prompts, num_rows=num_rows)
        assert [one.tokens for one in found] == wanted
        assert [one.stopped for one in found] == [len(tokens) < NEW for tokens in wanted]


def test_a_row_that_is_asked_again_keeps_its_input():
    feeds, _, lengths = inputs_of("marian", 0, 3)
    start = checkpoints.marian(0).config.decoder_start_token_id
    first = ours("marian", 0, feeds, lengths, [[start]] * 3, num_rows=2)
    asked = []

    def again(found):
        asked.append(found.request.key)
        if found.request.key != 1 or asked.count(1) > 1:
            return None
        return dataclasses.replace(found.request, prompt=(start, *found.tokens[:3]), max_new_tokens=5)

    second = ours("marian", 0, feeds, lengths, [[start]] * 3, num_rows=2, retry=again)
    assert sorted(asked) == [0, 1, 1, 2]
    # Begun with its own first symbols, it goes on as before.
    assert second[1].tokens == first[1].tokens[3:8]
    assert [second[0].tokens, second[2].tokens] == [first[0].tokens, first[2].tokens]


def test_scores_are_kept_and_add_up():
    feeds, given, lengths = inputs_of("marian", 1, 2)
    start = checkpoints.marian(1).config.decoder_start_token_id
    found = ours("marian", 1, feeds, lengths, [[start]] * 2, num_rows=2)
    for row, one in enumerate(found):
        tokens = torch.tensor([[start, *one.tokens]])
        with torch.no_grad():
            scores = checkpoints.marian(1)(
                input_ids=given["input_ids"][row : row + 1],
                attention_mask=given["attention_mask"][row : row + 1],
                decoder_input_ids=tokens,
            ).logits[0]
        scores[:, sorted(RULES.always)] = -torch.inf
        scores[0, sorted(RULES.first)] = -torch.inf
        wanted = scores.log_softmax(-1)[range(len(one.tokens)), list(one.tokens)]
        np.testing.assert_allclose(one.log_probabilities[: len(one.tokens)], wanted, atol=1e-5)
        assert one.mean_log_probability == pytest.approx(float(np.mean(one.log_probabilities)))


def test_drawing_depends_on_the_seed_and_not_on_other_rows():
    feeds, _, lengths = inputs_of("marian", 2, 3)
    encoder, decoder, num_positions = networks("marian", 2)
    memory = encoder.run(feeds)
    start = checkpoints.marian(2).config.decoder_start_token_id

    def drawn(num_rows, seeds, temperature=1.5):
        rows = RowDecoder(
            decoder, num_rows=num_rows, num_positions=num_positions, rules=RULES, memory_length=12
        )
        seats = (
            Seat(
                Request((start,), 8, frozenset(), RULES, Sample(temperature, seed), key=row),
                memory, row, lengths[row],
            )
            for row, seed in enumerate(seeds)
        )  # fmt: skip
        return {one.request.key: one.tokens for one in generate(rows, seats)}

    assert drawn(1, (1, 2, 3)) == drawn(3, (1, 2, 3))
    assert drawn(3, (1, 2, 3))[0] != drawn(3, (9, 2, 3))[0]
    greedy = ours("marian", 2, feeds, lengths, [[start]] * 3, num_rows=3, new=8)
    assert drawn(3, (1, 2, 3), temperature=1e-4)[1] == greedy[1].tokens


def small_m2m100(seed, **changes):
    """A model of its own, its decoder in an `OnnxRunner`, and what the encoder made of one source."""
    model = checkpoints.m2m100(seed, **changes)
    exported = export_networks(model)
    source = np.array([[20, 30, 40, 2]], np.int32)
    memory = OnnxRunner(exported.encoder, num_threads=1).run(
        {"tokens": source, "lengths": np.array([4], np.int32)}
    )
    decoder = OnnxRunner(exported.decoder, num_threads=1)
    rows = RowDecoder(decoder, num_rows=1, num_positions=exported.num_positions, memory_length=4)
    return model, torch.tensor(source).long(), rows, memory


@pytest.mark.parametrize("seed", [0, 1])
def test_padding_that_is_said_stands_where_transformers_has_it(seed):
    model, source, rows, memory = small_m2m100(seed, decoder_start_token_id=1)
    (found,) = generate(rows, [Seat(Request((1,), NEW, frozenset()), memory, 0, 4)])
    with torch.no_grad():
        wanted = model.generate(source, max_new_tokens=NEW, num_beams=1, do_sample=False, eos_token_id=[])[
            0
        ].tolist()[1:]
    assert list(found.tokens) == wanted


def test_scores_that_are_no_numbers_end_with_an_error():
    _, _, rows, memory = small_m2m100(0)
    broken = {name: np.full_like(value, np.nan) for name, value in memory.items()}
    with pytest.raises(
        ExecutionError, match="after 0 symbols no symbol has a probability: the network gave NaN"
    ):
        list(generate(rows, [Seat(Request((2,), 4, frozenset()), broken, 0, 4)]))


@pytest.mark.parametrize("symbol", [-1, checkpoints.NUM_SYMBOLS])
def test_a_symbol_that_the_network_lacks_is_refused(symbol):
    _, _, rows, memory = small_m2m100(0)
    with pytest.raises(InputError, match="symbols lie in 0 to 109, got"):
        list(generate(rows, [Seat(Request((symbol,), 4, frozenset()), memory, 0, 4)]))


@pytest.mark.parametrize("kind", ["whisper", "marian", "bart"])
def test_fp16_keys_and_values_are_read_as_they_lie_where_their_products_are_fp16(kind):
    model = getattr(checkpoints, kind)(0)
    exported = export_networks(model, num_masks=2, ranged=kind == "whisper", kv_dtype="float16")
    decoder = products_in_float16(exported.decoder)
    caches = [one.name for one in decoder.graph.input if one.name.startswith(("cross_", "self_"))]
    readers = {node.op_type for node in decoder.graph.node if set(node.input) & set(caches)}
    assert readers <= {"MatMul", "Shape"}
    feeds, _, lengths = inputs_of(kind, 0, 2)
    memory = OnnxRunner(exported.encoder, num_threads=1).run(feeds)
    found = []
    for network in (exported.decoder, decoder):
        longest = max((length or 0 for length in lengths), default=0) or None
        rows = RowDecoder(
            OnnxRunner(network, num_threads=1),
            num_rows=2,
            num_positions=16,
            rules=RULES,
            memory_length=longest,
        )
        for row, length in enumerate(lengths):
            rows.seat(row, memory, row, length)
        tokens, begin = np.array([[3, 11], [3, 12]], np.int32), np.zeros(2, np.int32)
        rows.extend(tokens, begin, [Choice()] * 2)
        found.append(rows.extend(tokens[:, :1] + 20, begin + 2, [Choice()] * 2).scores)
    np.testing.assert_allclose(found[1], found[0], atol=0.02)


def test_types_that_are_not_taken_are_named():
    with pytest.raises(ConfigError, match="kv_dtype must be float32 or float16, got 'int8'"):
        export_networks(checkpoints.marian(0), kv_dtype="int8")
    halves = copy.deepcopy(checkpoints.marian(0)).half()
    with pytest.raises(ModelError, match="in FP32 was expected, got one with weights of float16"):
        export_networks(halves)
