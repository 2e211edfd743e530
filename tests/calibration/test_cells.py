import pytest

from trtforge.calibration.cells import Alias, Cell, FactorPair, coverage
from trtforge.errors import ConfigError


def clips(*values, factors=("accent", "channel")):
    return {f"{i}": dict(zip(factors, pair, strict=True)) for i, pair in enumerate(values)}


def test_empty_and_thin_cells_by_hand():
    found = coverage(
        clips(*[("fr", "studio")] * 3, *[("fr", "phone")] * 2, *[("de", "studio")] * 4, ("it", "phone")),
        min_clips=3,
    )
    assert found.pairs == (FactorPair(("accent", "channel"), 6, 2, 2),)
    assert found.cells == (
        Cell(("accent", "channel"), ("de", "phone"), 0),
        Cell(("accent", "channel"), ("it", "studio"), 0),
        Cell(("accent", "channel"), ("it", "phone"), 1),
        Cell(("accent", "channel"), ("fr", "phone"), 2),
    )
    assert str(found.cells[0]) == "accent de and channel phone"


def test_strata_of_the_same_clips_rule_out_other_cells():
    found = coverage(
        clips(
            *[("none", "clean")] * 5,
            *[("music", "0")] * 2,
            *[("music", "10")] * 2,
            *[("street", "0")] * 2,
            factors=("noise", "snr"),
        )
    )
    assert found.aliases == (Alias(("noise", "snr"), ("none", "clean"), 5),)
    assert found.cells == (Cell(("noise", "snr"), ("street", "10"), 0),)
    # none-clean, and two noises at two ratios
    assert found.pairs == (FactorPair(("noise", "snr"), 5, 1, 0),)


def test_a_factor_of_one_value_has_no_cells():
    found = coverage(clips(("fr", "studio"), ("de", "studio")))
    assert (found.pairs, found.cells) == ((), ())


def test_clips_without_a_factor_are_not_counted():
    known = clips(("fr", "studio"), ("fr", "phone"), ("de", "studio"), ("de", "phone")) | {
        "x": {"accent": "fr"}
    }
    assert coverage(known, min_clips=1).cells == ()


def test_min_clips_out_of_range():
    with pytest.raises(ConfigError, match="min_clips must be at least 1, got 0"):
        coverage({}, min_clips=0)
