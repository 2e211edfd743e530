import re

import pytest

from benchmarks.calibration_data.plot import draw
from tests.benchmarks.calibration_data.results import make_result

pytest.importorskip("matplotlib")


def texts(svg: str) -> list[tuple[str, bool]]:
    """Return every text of a drawing and whether it is bold."""
    found = re.findall(r'<text style="([^"]*)"[^>]*>([^<]*)<', svg)
    return [
        (text.strip(), bool(re.search(r"font:\s*(bold|700)|font-weight:\s*(bold|700)", style)))
        for style, text in found
    ]


def test_every_data_set_condition_and_increase_is_named() -> None:
    drawn = [text for text, _ in texts(draw(make_result()))]
    for wanted in ("entropy", "hum", "+1.0", "+20.0"):
        assert wanted in drawn
    assert "points of WER over FP32, which has 10.0 %; bars are 95 % intervals" in drawn
    svg = draw(make_result())
    assert svg.count("white noise") >= 2
    assert svg.count("5 clips") >= 2


def test_a_clear_increase_is_bold_and_an_unclear_one_is_not() -> None:
    bold = dict(texts(draw(make_result())))
    assert (bold["+20.0"], bold["+1.0"]) == (True, False)


def test_the_same_result_draws_the_same_picture() -> None:
    assert draw(make_result()) == draw(make_result())


def test_no_change_has_no_sign() -> None:
    result = make_result()
    for row in result["rates"]:
        row["increase"] = None if row["increase"] is None else -0.0001
    drawn = [text for text, _ in texts(draw(result))]
    assert drawn.count("0.0") == 2
    assert "\N{MINUS SIGN}0.0" not in drawn
