import json
import re
from pathlib import Path

import pytest

from benchmarks.bench_calibration_data import PAGE, PLOT, RESULT, fill, load, main
from benchmarks.calibration_data.plot import draw
from benchmarks.pages import to_text
from tests.benchmarks.calibration_data.networks import save_recogniser
from tests.benchmarks.calibration_data.results import make_result
from trtforge.errors import ReportError


def test_the_tables_on_the_page_are_those_of_the_committed_result() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == fill(page, load(RESULT)), "python -m benchmarks.bench_calibration_data --redraw"


def test_the_committed_plot_shows_the_committed_result() -> None:
    pytest.importorskip("matplotlib")
    numbers = re.compile(r">\s*([+\N{MINUS SIGN}]?\d+\.\d)\s*<")
    assert numbers.findall(PLOT.read_text(encoding="utf-8")) == numbers.findall(draw(load(RESULT)))


def test_the_interpretation_is_about_the_network_that_was_measured() -> None:
    said = re.search(r"<!-- interpretation of network ([0-9a-f]{12}): begin -->", PAGE.read_text("utf-8"))
    assert said is not None
    assert said[1] == load(RESULT)["model"]["sha256"][:12], (
        f"another network was measured: read the new tables, then rewrite that part of {PAGE.name}"
    )


def test_rates_follow_from_the_errors_of_each_clip() -> None:
    result = load(RESULT)
    rows = {row["runner"]: row for row in result["rates"] if row["factor"] == "overall"}
    words = sum(clip["num_words"] for clip in result["clips"])
    assert len(rows) == 1 + len(result["sources"]) * len(result["methods"])
    assert result["limit"] is None
    for name, row in rows.items():
        errors = sum(clip["errors"][name] for clip in result["clips"])
        assert (row["num_clips"], row["num_words"]) == (len(result["clips"]), words)
        assert row["num_errors"] == errors
        assert row["wer"] == pytest.approx(errors / words)


def test_json_has_a_line_for_each_row() -> None:
    text = to_text(make_result())
    assert json.loads(text) == make_result()
    assert (
        '\n    {"source": "noise", "tensor": "relu", "observed_max": 3.0, "amax": {"entropy": 1.0}}\n' in text
    )


def test_a_trial_writes_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("onnxruntime", "numba", "librosa", "jiwer", "matplotlib"):
        pytest.importorskip(module)
    published = RESULT.read_bytes()
    model, output = tmp_path / "tiny.onnx", tmp_path / "trial.json"
    save_recogniser(model)
    assert main(["--limit", "1", "--model", str(model), "--output", str(output)]) == 0
    result = load(output)
    assert (result["limit"], result["test_set"]["num_clips"]) == (1, 1)
    assert [source["num_clips"] for source in result["sources"]] == [1] * 6
    assert [row["tensor"] for row in result["thresholds"]] == ["mel", "r1"] * 6
    inputs = {row["source"]: row for row in result["thresholds"] if row["tensor"] == "mel"}
    assert inputs["images"]["observed_max"] <= 1 < inputs["representative"]["observed_max"]
    assert {row["runner"] for row in result["rates"]} == {
        "FP32",
        *(f"{source['key']}/{method}" for source in result["sources"] for method in result["methods"]),
    }
    assert result["run"]["command"].startswith("python -m benchmarks.bench_calibration_data --limit 1 ")
    assert output.with_suffix(".svg").read_text(encoding="utf-8").startswith("<?xml")
    assert str(output) in capsys.readouterr().out
    assert RESULT.read_bytes() == published


def test_what_is_not_a_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    with pytest.raises(ReportError, match="no result at"):
        load(path)
    path.write_text('{"format": "other"}')
    assert main(["--redraw", "--output", str(path)]) == 1
    assert 'lacks "format": "trtforge.benchmark.calibration_data/1"' in capsys.readouterr().err


def test_a_limit_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--limit", "0"])
    assert "at least 1 is needed, got 0" in capsys.readouterr().err
