"""Beam search finds what trying every alignment finds, and the same in blocks as at once."""

from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtforge.errors import ConfigError, ExecutionError
from trtforge.speech import CtcDecoder, CtcStream, Word
from trtforge.speech.ctc_beam import PrefixBeam, log_probabilities

BLANK = 2
VOCABULARY = (" ", "a", "b", "c d", "▁")


def every_text(scores):
    """All texts: the sum of their alignments' probabilities, and the likeliest alignment."""
    rows = log_probabilities(scores)
    texts = {}
    for path in product(range(scores.shape[1]), repeat=len(scores)):
        tokens = tuple(symbol for symbol, _ in groupby(path) if symbol != BLANK)
        height = sum(row[symbol] for row, symbol in zip(rows, path, strict=True))
        together, best, likeliest = texts.get(tokens, (0.0, -np.inf, ()))
        texts[tokens] = together + np.exp(height), *max((best, likeliest), (height, path))
    return texts


def times_of(path):
    runs, at = [], 0
    for symbol, run in groupby(path):
        length = len(list(run))
        if symbol != BLANK:
            runs.append((symbol, at, at + length))
        at += length
    return runs


@pytest.mark.parametrize("seed", range(8))
def test_a_wide_beam_finds_what_trying_every_alignment_finds(seed):
    scores = 2 * np.random.default_rng(seed).standard_normal((6, 4)).astype(np.float32)
    wanted = every_text(scores)
    beam = PrefixBeam(BLANK, 10_000, least=-np.inf)
    beam.push(scores)
    found = beam.texts()
    assert {tokens for tokens, _ in found} == set(wanted)
    for tokens, height in found:
        assert np.exp(height) == pytest.approx(wanted[tokens][0], rel=1e-9)
    assert sum(np.exp(height) for _, height in found) == pytest.approx(1)
    best = max(wanted, key=lambda tokens: wanted[tokens][0])
    assert [(one.symbol, one.start, one.end) for one in beam.finish()] == times_of(wanted[best][2])


def test_many_alignments_outdo_the_best_one():
    # Each frame alone is most likely blank: 0.6 * 0.6 = 0.36 for nothing, 1 - 0.36 for one "a".
    scores = np.log(np.array([[[1e-9, 0.4, 0.6], [1e-9, 0.4, 0.6]]]))
    assert CtcDecoder((" ", "a"), BLANK).decode({"logits": scores}) == [""]
    assert CtcDecoder((" ", "a"), BLANK, beam_width=2).decode({"logits": scores}) == ["a"]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 400), max_size=4))
def test_blocks_give_the_text_of_the_whole(seed, cuts):
    random = np.random.default_rng(seed)
    scores = random.standard_normal((400, 6)) * 2
    scores[np.arange(400), np.repeat(random.integers(0, 6, 200), 2)] += 6
    decoder = CtcDecoder(VOCABULARY, blank=5, beam_width=6)
    stream = CtcStream(decoder, 0.02)
    words = [word for block in np.split(scores, sorted(cuts)) for word in stream.push(block)]
    words += stream.finish()
    assert " ".join(word.text for word in words) == decoder.decode({"logits": scores[None]})[0]
    assert all(0 <= word.start < word.end <= 8 for word in words)
    assert [word.start for word in words] == sorted(word.start for word in words)


def test_words_are_given_out_on_the_way_and_little_is_held():
    path = np.tile([1, 5, 2, 0, 5], 400)
    stream = CtcStream(CtcDecoder(VOCABULARY, blank=5, beam_width=4), 0.1)
    scores = 9 * np.eye(6)[path]
    early = stream.push(scores)
    assert early[0] == Word("ab", 0.0, pytest.approx(0.3))
    # What differs is waited for, for 256 frames and up to 32 more.
    assert 400 - (256 + 32) / 5 - 2 <= len(early) < 400
    assert max(len(tokens) for tokens, _ in stream._symbols.texts()) <= 3 * 60
    assert len(early + stream.finish()) == 400
    assert stream.finish() == []


def test_what_cannot_be_decoded_is_refused():
    with pytest.raises(ConfigError, match="beam_width must be 1 or more, got 0"):
        CtcDecoder(VOCABULARY, blank=5, beam_width=0)
    beam = PrefixBeam(BLANK, 4)
    with pytest.raises(ExecutionError, match="the scores of a frame from 0 on give no probabilities"):
        beam.push(np.full((1, 4), -np.inf))
