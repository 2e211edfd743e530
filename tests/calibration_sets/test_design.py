from collections import Counter
from itertools import combinations

import pytest

from calibration_sets.synthesis.design import NUM_CLIPS, NUM_PLAIN, STORED, design, factors, feasible_pairs

SETS = STORED


def pair_counts(name):
    names = tuple(factors(name))
    return Counter(
        (first, getattr(strata, first), second, getattr(strata, second))
        for strata in design(name)
        for first, second in combinations(names, 2)
    )


@pytest.mark.parametrize("name", SETS)
def test_every_feasible_pair_occurs(name):
    counts = pair_counts(name)
    assert [pair for pair in feasible_pairs(name) if not counts[pair]] == []


@pytest.mark.parametrize("name", SETS)
def test_no_other_pair_occurs(name):
    assert set(pair_counts(name)) - set(feasible_pairs(name)) == set()


def test_number_of_feasible_pairs():
    # Factors of 16 (18), 3, 3, 5, 5, 3, 3, 3 values. All pairs of values: half of (sum squared less squares).
    # Of noise with ratio, 17 of the 25 are feasible; of accent with pitch, flite takes two away.
    calibration = (16, 3, 3, 5, 5, 3, 3, 3)
    test = (18, *calibration[1:])
    expected = [sum(a * b for a, b in combinations(sizes, 2)) for sizes in (calibration, test)]
    counted = [sum(1 for _ in feasible_pairs(name)) for name in SETS]
    assert counted == [expected[0] - 8, expected[1] - 8 - 2] == [657, 705]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("factor", ["rate", "pitch", "reverb", "channel", "loudness"])
def test_three_values_share_equally(name, factor):
    counts = Counter(getattr(strata, factor) for strata in design(name))
    assert set(counts.values()) == {NUM_CLIPS[name] // 3}


def test_noises_and_ratios_take_a_fifth_each():
    test = design("podcast_en_test")
    assert set(Counter(strata.noise for strata in test).values()) == {48}
    assert set(Counter(strata.snr for strata in test).values()) == {48}
    calibration = Counter(strata.noise for strata in design("podcast_en"))
    assert calibration == {"none": 40, "babble": 38, "music": 38, "hum": 38, "street": 38}


@pytest.mark.parametrize("name", SETS)
def test_clean_exactly_without_noise(name):
    assert all((strata.noise == "none") == (strata.snr == "clean") for strata in design(name))


def test_accents_are_balanced():
    assert set(Counter(strata.accent for strata in design("podcast_en")).values()) == {12}
    counts = Counter(strata.accent for strata in design("podcast_en_test"))
    assert counts.pop("flite-rms") == counts.pop("flite-slt") == 20
    assert len(counts) == 16
    assert set(counts.values()) == {12, 13}


def test_a_sixth_of_the_test_set_is_flite():
    assert Counter(strata.engine for strata in design("podcast_en_test")) == {"espeak": 200, "flite": 40}
    assert Counter(strata.engine for strata in design("podcast_en")) == {"espeak": 192}


@pytest.mark.parametrize(("name", "least"), [("podcast_en", 8), ("podcast_en_test", 24)])
def test_plain_clips(name, least):
    assert NUM_PLAIN[name] == least
    assert sum(strata.plain for strata in design(name)) == least


def test_unknown_set():
    with pytest.raises(ValueError, match="podcast_en, podcast_en_test, podcast_en_large, not 'other'"):
        design("other")
