import pytest

from benchmarks.bench_convergence import PAGE, PLOT, RESULT, fill, load, main
from benchmarks.convergence.plot import draw
from benchmarks.pages import BEGIN, END, to_text
from trtforge.errors import ConfigError, ReportError


def test_the_page_and_the_result_agree():
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, load(RESULT)) == page


def test_the_result_is_written_as_it_reads():
    assert to_text(load(RESULT)) == RESULT.read_text(encoding="utf-8")


def test_the_plot_shows_every_method_of_the_result():
    result = load(RESULT)
    for method in {row["method"] for row in result["drifts"]}:
        assert f">{method}</text>" in PLOT.read_text(encoding="utf-8")
    assert draw(result) == draw(result)


def test_tables_by_hand():
    row = {"order": "random", "method": "max", "num_clips": 8, "median": 0.005, "p99": 0.04}
    machine = {"processor": "abacus", "num_cpus": 2}
    result = {
        "drifts": [{**row, "by_tensor": {"a": 0.001, "b": 0.041}}],
        "enough": [{"order": "random", "method": "max", "num_clips": 8}],
        "num_clips_of_order": {"random": 12},
        "limits": {"median": 0.01, "p99": 0.05},
        "seeds": 3,
        "clips": {"name": "some", "sha256": "b" * 64, "num_clips": 12, "made_by": ["speaker 1.0"]},
        "model": {"file": "x.onnx", "sha256": "a" * 64},
        "run": {
            "command": "python -m x",
            "date": "2026-01-01",
            "machine": machine,
            "versions": {"numpy": "2"},
        },
    }
    page = fill(f"before\n{BEGIN}\nold\n{END}\nafter\n", result)
    for line in (
        "| Method | random (of 12) |\n| --- | ---: |\n| max | 8 |",
        "Median over 2 tensors and 3 orders",
        "| max | random | 0.5 (4) |",
        "| max | `b` 4 % at 8 |",
        "* 2026-01-01, 2 cores of abacus\n",
        "* clips `some`, digest `bbbbbbbbbbbb`, speaker 1.0\n",
    ):
        assert line in page, line
    assert "old" not in page
    with pytest.raises(ConfigError, match="the page must hold"):
        fill("no markers", result)


def test_a_missing_result_says_how_to_make_one(tmp_path, capsys):
    with pytest.raises(ReportError, match=r"no result at .*nothing\.json"):
        load(tmp_path / "nothing.json")
    assert main(["--redraw", "--output", str(tmp_path / "nothing.json")]) == 1
    assert "python -m benchmarks.bench_convergence" in capsys.readouterr().err
