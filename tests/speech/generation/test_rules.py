import numpy as np
import pytest

from trtforge.errors import ConfigError, InputError, ModelError
from trtforge.model import TensorSpec
from trtforge.profiles import choose_profile
from trtforge.speech.generation import (
    AllOf,
    Choice,
    DecoderSignature,
    Request,
    RowDecoder,
    Sample,
    Suppress,
    cache_sizes,
    decoder_profiles,
)
from trtforge.speech.generation.rules import mask_array


class Ban:
    masks = (frozenset(),)

    def allow(self, generated):
        return Choice(ban_from=3, ban_to=5)


def test_symbols_are_forbidden_always_or_first():
    rules = Suppress(frozenset({1}), frozenset({2}))
    assert rules.masks == ({1}, {1, 2})
    assert [rules.allow([]).mask, rules.allow([4]).mask] == [1, 0]
    assert Suppress(frozenset({1})).masks == ({1},)


def test_two_rules_are_joined():
    rules = AllOf(Suppress(frozenset({1}), frozenset({2})), Suppress(frozenset({7}), frozenset({8})))
    assert rules.masks[rules.allow([]).mask] == {1, 2, 7, 8}
    assert rules.masks[rules.allow([4]).mask] == {1, 7}
    assert AllOf(rules, Ban()).allow([4]) == Choice(rules.allow([4]).mask, 3, 5)
    with pytest.raises(ConfigError, match="forbid a range in the same step"):
        AllOf(Ban(), Ban()).allow([])


def test_masks_are_numbers_for_the_network():
    array = mask_array((frozenset(), frozenset({0, 3})), 4)
    assert array.dtype == np.float32
    assert array.tolist() == [[0, 0, 0, 0], [1, 0, 0, 1]]
    with pytest.raises(ConfigError, match=r"symbols lie in 0 to 3, a rule forbids \[4\]"):
        mask_array((frozenset({4}),), 4)


def test_drawing_follows_the_probabilities():
    scores = np.log(np.array([0.7, 0.2, 0.1], np.float32))
    drawn = [Sample(1.0, seed)(scores, []) for seed in range(2000)]
    shares = np.bincount(drawn, minlength=3) / 2000
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.04)
    assert Sample(1.0, 5)(np.array([-np.inf, 0.0], np.float32), []) == 1
    with pytest.raises(ConfigError, match="temperature must be above 0, got 0"):
        Sample(0.0)


SPECS = (
    TensorSpec("tokens", "int32", ("batch", "new")),
    TensorSpec("positions", "int32", ("batch",)),
    TensorSpec("mask_index", "int32", ("batch",)),
    TensorSpec("masks", "float32", (2, 50)),
    TensorSpec("memory_lengths", "int32", ("batch",)),
    *(
        TensorSpec(f"{kind}_{part}_0", "float16", ("batch", 4, f"{kind}_{part}", 8))
        for kind in ("cross", "self")
        for part in ("key", "value")
    ),
)


class Network:
    inputs = SPECS

    def run(self, arrays):
        raise AssertionError("no row is to be run")


def test_a_decoder_is_known_by_its_inputs():
    signature = DecoderSignature.of(SPECS)
    assert (signature.num_layers, signature.num_heads, signature.head_width) == (1, 4, 8)
    assert (signature.num_symbols, signature.num_masks, signature.memory_length) == (50, 2, None)
    assert signature.kv_dtype == np.float16
    assert not signature.is_ranged
    with pytest.raises(ModelError, match=r"it lacks \['self_key_0'\]"):
        DecoderSignature.of(SPECS[:4])


def test_rows_that_do_not_fit_are_refused():
    rules = Suppress(frozenset(), frozenset({1}))
    sizes = {"num_rows": 2, "num_positions": 16, "rules": rules}
    with pytest.raises(ConfigError, match="memory_length is missing"):
        RowDecoder(Network(), **sizes)
    with pytest.raises(ConfigError, match="the rules have 1 masks, the network was exported for 2"):
        RowDecoder(Network(), num_rows=2, num_positions=16, memory_length=5)
    rows = RowDecoder(Network(), memory_length=5, **sizes)
    with pytest.raises(InputError, match="length must lie in 1 to 5, got 6"):
        rows.seat(0, {}, 0, 6)
    with pytest.raises(InputError, match="a row would hold 17 symbols, it can hold 16"):
        rows.extend(np.zeros((2, 1), np.int32), np.array([0, 16], np.int32), [Choice()] * 2)
    with pytest.raises(ConfigError, match="a rule uses ban_from, which the network was exported without"):
        rows.extend(np.zeros((2, 1), np.int32), np.zeros(2, np.int32), [Choice(ban_from=1, ban_to=2)] * 2)
    with pytest.raises(ConfigError, match="a prompt has one symbol at least"):
        Request((), 5, frozenset())


def test_profiles_hold_every_call_that_rows_make():
    assert cache_sizes(448) == (128, 256, 448)
    assert cache_sizes(10) == (10,)
    profiles = decoder_profiles(SPECS, num_rows=3, num_positions=200, memory_length=7, max_look=2)
    assert len(profiles) == 3

    def shapes(batch, new, places, memory):
        cross, own = (batch, 4, memory, 8), (batch, 4, places, 8)
        return {
            "tokens": (batch, new), "positions": (batch,), "mask_index": (batch,), "memory_lengths": (batch,),
            "cross_key_0": cross, "cross_value_0": cross, "self_key_0": own, "self_value_0": own,
        }  # fmt: skip

    for profile in profiles:
        profile.check_inputs(SPECS)
    for call in (shapes(3, 1, 128, 7), shapes(3, 1, 200, 7), shapes(3, 4, 128, 7), shapes(1, 1, 1, 3)):
        assert any(call in profile for profile in profiles)
    assert choose_profile(profiles, shapes(3, 1, 128, 7)) == 0  # the one of its own, which is narrower
    assert choose_profile(profiles, shapes(3, 4, 200, 7)) == 2
    with pytest.raises(ConfigError, match="memory_length is missing"):
        decoder_profiles(SPECS, num_rows=3, num_positions=100)
