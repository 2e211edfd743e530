import math

from trtforge.report import formatting


def test_rates_are_percent_and_changes_points():
    assert formatting.percent(0.1234) == "12.34 %"
    assert formatting.percent(None) == "\N{EN DASH}"
    assert formatting.points(-0.0042) == "\N{MINUS SIGN}0.42"
    assert formatting.points_range([-0.001, 0.0052]) == "\N{MINUS SIGN}0.10 to +0.52"
    assert formatting.percent_range([0.1, 0.2]) == "10.00 to 20.00"
    assert formatting.percent_range(None) == ""


def test_tiny_shares_are_not_rounded_to_nothing():
    assert [formatting.small_percent(x) for x in (0, 1e-9, 0.000123, 0.034)] == [
        "0 %",
        "< 0.001 %",
        "0.012 %",
        "3.4 %",
    ]


def test_numbers_and_counts():
    assert formatting.number(3.14159) == "3.142"
    assert formatting.number(math.inf) == "\N{EN DASH}"
    assert formatting.count(1234567) == "1\u202f234\u202f567"
    assert [formatting.plural(n, "clip") for n in (1, 2)] == ["1 clip", "2 clips"]
    assert formatting.precision_name("float16") == "FP16"
