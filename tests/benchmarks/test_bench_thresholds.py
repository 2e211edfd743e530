import pytest

from benchmarks.bench_thresholds import FORMAT, METHODS, MODULE, PAGE, PART, RESULT, lines, main, medians
from benchmarks.pages import fill_between, load_result
from trtforge.calibration import METHODS as PUBLIC


def rounds(*cpu_s):
    return [
        {"wall_s": dict.fromkeys(METHODS, 2 * seconds), "cpu_s": dict.fromkeys(METHODS, seconds)}
        for seconds in cpu_s
    ]


def test_every_method_is_timed_and_the_median_counts():
    assert sorted(METHODS) == sorted(PUBLIC)
    found = medians(rounds(0.5, 0.1, 0.2))
    assert [(row["wall_s"], row["cpu_s"]) for row in found["rows"]] == [(0.4, 0.2)] * 4
    assert (found["num_histograms"], found["num_bins"], found["rounds"]) == (500, 2048, 3)


def test_lines_by_hand():
    machine = {"processor": "abacus", "num_cpus": 2}
    run = {"command": "python -m x", "date": "2026-01-01", "machine": machine, "versions": {"numpy": "2"}}
    told = lines({**medians(rounds(0.25)), "run": run})
    assert "500 histograms of 2048 bins; medians of 1 rounds." in told
    assert "| entropy | 0.50 | 0.25 |" in told
    assert "| together | 2.00 | 1.00 |" in told
    assert told.endswith("`python -m x`, 2026-01-01, 2 cores of abacus; numpy 2")


def test_the_page_holds_the_lines_of_the_result():
    page = PAGE.read_text(encoding="utf-8")
    if not RESULT.is_file():
        assert f"`python -m {MODULE}`" in page.partition(f"<!-- {PART}: begin -->")[2]
        pytest.skip("not measured yet")
    assert fill_between(page, lines(load_result(RESULT, kind=FORMAT, module=MODULE)), part=PART) == page


def test_a_wrong_option_is_told(capsys):
    assert main(["--rounds"]) == 2
    assert "usage: python -m benchmarks.bench_thresholds [--redraw]" in capsys.readouterr().err
