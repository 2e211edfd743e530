from collections import Counter

import pytest

from calibration_sets.synthesis import design as designing
from calibration_sets.synthesis.recipes import recipes
from calibration_sets.synthesis.texts import normalise, sentences

NAME = "podcast_en_large"


@pytest.fixture
def smaller(monkeypatch):
    """The large set's design on 96 clips; its own 2688 take long to lay out."""
    monkeypatch.setitem(designing.NUM_CLIPS, NAME, 96)
    monkeypatch.setitem(designing.NUM_PLAIN, NAME, 4)
    found = recipes.__wrapped__(NAME)
    yield list(found.values())
    designing.design.cache_clear()


def test_it_shares_no_text_and_no_seed_with_the_stored_sets(smaller):
    texts = [recipe.transcript for recipe in smaller]
    assert len(set(texts)) == len(texts) == 96
    assert not set(texts) & {
        normalise(text) for split in ("calibration", "test") for text in sentences(split)
    }
    seeds = {recipe.seed for name in designing.STORED for recipe in recipes(name).values()}
    assert not seeds & {recipe.seed for recipe in smaller}


def test_it_is_balanced_as_the_others_are(smaller):
    for factor in ("rate", "pitch", "reverb", "channel", "loudness"):
        assert set(Counter(getattr(recipe.strata, factor) for recipe in smaller).values()) == {32}
    assert Counter(recipe.strata.accent for recipe in smaller).most_common()[-1][1] == 6
    assert Counter(recipe.strata.noise for recipe in smaller)["none"] == 96 - 4 * (96 // 5)


def test_slow_clips_have_the_shorter_sentences(smaller):
    lengths = {
        rate: [len(recipe.text) for recipe in smaller if recipe.strata.rate == rate]
        for rate in ("slow", "normal", "fast")
    }
    assert max(lengths["slow"]) <= min(lengths["normal"])
    assert max(lengths["normal"]) <= min(lengths["fast"])
    assert min(lengths["slow"]) >= 48
    assert max(lengths["fast"]) < 100
