import pytest

from benchmarks.bench_calibration_data import fill
from benchmarks.calibration_data.page import tables
from benchmarks.pages import BEGIN, END
from tests.benchmarks.calibration_data.results import make_result
from trtforge.errors import ConfigError


def test_rates_stand_with_counts_and_intervals() -> None:
    text = tables(make_result())
    assert "12 clips, 100 words" in text
    assert "| not quantized |  |  | 10 | 10.00 (8.00 to 12.00) |  |" in text
    assert (
        "| white noise | entropy | 50.0 | 30 | 30.00 (28.00 to 32.00) | +20.00 (+18.00 to +22.00) |" in text
    )


def test_an_increase_is_bold_where_its_interval_excludes_zero() -> None:
    assert "| noise hum | 12 | 100 | 10.0 | +1.0 | **+20.0** |" in tables(make_result())


def test_no_change_has_no_sign() -> None:
    result = make_result()
    for row in result["rates"]:
        if row["runner"] != "FP32":
            row.update(increase=-0.00001, increase_interval=[-0.00002, 0.02])
    text = tables(result)
    assert "| 0.00 (0.00 to +2.00) |" in text
    assert "| noise hum | 12 | 100 | 10.0 | 0.0 | 0.0 |" in text


def test_thresholds_are_held_against_the_first_data_set() -> None:
    assert "| `relu` | 4.00 | 0.25 |" in tables(make_result())


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    page = fill(f"before\n{BEGIN}\nstale\n{END}\nafter\n", make_result())
    assert page.startswith(f"before\n{BEGIN}\n\n### Data sets\n")
    assert page.endswith(f"2026-01-02, 2 cores of a CPU, 4 s\n* python 3.11.0\n\n{END}\nafter\n")
    assert "stale" not in page
    assert fill(page, make_result()) == page


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(
        ConfigError, match="<!-- table: begin --> and after it <!-- table: end -->, each once"
    ):
        fill(page, make_result())
