"""Sequences of symbols are translated as transformers does, token for token."""

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

from tests.speech.generation import checkpoints  # noqa: E402
from trtforge.errors import ConfigError, InputError  # noqa: E402
from trtforge.runtime import OnnxRunner  # noqa: E402
from trtforge.speech.generation import Suppress, export_networks  # noqa: E402
from trtforge.speech.translation import SequenceTranslator  # noqa: E402
from trtforge.speech.translation.constrained import Constraint  # noqa: E402
from trtforge.speech.translation.sequences import _PrefixScorer  # noqa: E402

NEW = 18
LANGUAGE = 77  # what NLLB and M2M100 are told to begin with
NO_CONTINUATION = np.zeros(checkpoints.NUM_SYMBOLS, bool)


@functools.cache
def translator(kind, seed, max_batch=4):
    model = getattr(checkpoints, kind)(seed)
    exported = export_networks(model)
    config = model.config
    prompt = (config.decoder_start_token_id,) + ((LANGUAGE,) if kind == "m2m100" else ())
    return SequenceTranslator(
        OnnxRunner(exported.encoder, num_threads=1),
        OnnxRunner(exported.decoder, num_threads=1),
        exported.num_positions,
        prompt,
        frozenset({config.eos_token_id}),
        Suppress(frozenset({config.pad_token_id})),
        max_batch,
    )


def sources(seed, count, longest=30):
    random = np.random.default_rng(seed)
    return [random.integers(10, 90, random.integers(1, longest)).tolist() for _ in range(count)]


def expected(kind, seed, given):
    """What transformers gives for all sources as one padded batch."""
    model = getattr(checkpoints, kind)(seed)
    config = model.config
    tokens = torch.full((len(given), max(map(len, given))), config.pad_token_id)
    for row, source in enumerate(given):
        tokens[row, : len(source)] = torch.tensor(source)
    mask = torch.arange(tokens.shape[1])[None] < torch.tensor([len(source) for source in given])[:, None]
    with torch.no_grad():
        found = model.generate(
            input_ids=tokens, attention_mask=mask.long(), num_beams=1, do_sample=False,
            forced_bos_token_id=LANGUAGE if kind == "m2m100" else None,
            max_new_tokens=NEW + (kind == "m2m100"), bad_words_ids=[[config.pad_token_id]],
        )  # fmt: skip
    rows = [row[1 + (kind == "m2m100") :].tolist() for row in found]
    end = config.eos_token_id
    return [tuple(row[: row.index(end)] if end in row else row) for row in rows]


@pytest.mark.parametrize("kind", ["marian", "m2m100"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 11])
def test_ragged_batches_with_refill_give_the_tokens_of_transformers(kind, seed, count):
    given = sources(seed, count)
    found = translator(kind, seed).translate(given, [NEW] * count)
    wanted = expected(kind, seed, given)
    assert [one.tokens for one in found] == wanted
    assert count == 1 or len(set(wanted)) > count // 2


def test_rows_end_at_limits_of_their_own():
    given = sources(0, 6)
    whole = translator("marian", 0).translate(given, [NEW] * 6)
    limits = [1, 2, 3, 4, 5, 6]
    done = []
    cut = translator("marian", 0).translate(given, limits, on_progress=lambda *count: done.append(count))
    assert [one.tokens for one in cut] == [
        one.tokens[:limit] for one, limit in zip(whole, limits, strict=True)
    ]
    assert sorted(done) == [(number, 6) for number in range(1, 7)]


@pytest.mark.parametrize("kind", ["marian", "m2m100"])
def test_what_greedy_finds_is_what_a_search_without_constraints_scores(kind):
    source = sources(3, 1)[0]
    one = translator(kind, 1)
    greedy = one.translate([source], [8])[0]
    # Its own symbols as the only constraint leave nothing to choose but where to end.
    found = one.translate_with(
        source, [Constraint(greedy.tokens)], max_new_tokens=len(greedy.tokens), width=1,
        continues_word=NO_CONTINUATION,
    )  # fmt: skip
    assert found.tokens == greedy.tokens
    kept = len(greedy.tokens)
    if not greedy.stopped:
        end_score = found.log_probability - sum(greedy.log_probabilities)
        assert end_score < 0
    else:
        assert found.log_probability == pytest.approx(sum(greedy.log_probabilities[: kept + 1]), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_search_holds_its_constraints_and_scores_as_the_network_does(seed):
    source = sources(seed, 1)[0]
    found = translator("marian", seed).translate_with(
        source, [Constraint((20, 21, 22)), Constraint((33,))], max_new_tokens=14, width=3,
        continues_word=NO_CONTINUATION,
    )  # fmt: skip
    tokens = found.tokens
    assert (20, 21, 22) in [tokens[at : at + 3] for at in range(len(tokens))]
    assert 33 in tokens
    model = checkpoints.marian(seed)
    config = model.config
    fed = torch.tensor([[config.decoder_start_token_id, *tokens]])
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([source]), decoder_input_ids=fed).logits[0]
    scores[:, config.pad_token_id] = -torch.inf
    wanted = scores.log_softmax(-1)[range(len(tokens) + 1), [*tokens, config.eos_token_id]].sum()
    assert found.log_probability == pytest.approx(float(wanted), rel=1e-4)


def test_sources_that_do_not_fit_are_refused_before_anything_runs():
    one = translator("marian", 0)
    with pytest.raises(InputError, match="source 1 has 65 symbols, the network takes 1 to 64"):
        one.translate([[1], [1] * 65], [4, 4])
    with pytest.raises(InputError, match="source 0 has 0 symbols"):
        one.translate([[]], [4])
    assert one.translate([], []) == []
    with pytest.raises(ConfigError, match="max_batch must be 1 or more, got 0"):
        translator("marian", 0, 0)


def test_scores_do_not_depend_on_how_many_rows_there_are():
    one = translator("marian", 0)
    source = sources(4, 1)[0]
    prefixes = [[(), (20,), (20, 21)], [(30,), (20, 22), (31, 32)], [(20, 21, 22)] * 2]
    found = []
    for num_rows in (4, 2, 1):
        with one._decoder(num_rows, len(source)) as rows:
            memory = one._encode([source])
            for row in range(num_rows):
                rows.seat(row, memory, 0, len(source))
            scorer = _PrefixScorer(rows, one.prompt, one.rules)
            found.append([scorer([prefix]) for group in prefixes for prefix in group])
            found[-1] += [scorer([(5, 6), (5, 7), (8, 9)])]
    for other in found[1:]:
        for wanted, scores in zip(found[0], other, strict=True):
            np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-5)
