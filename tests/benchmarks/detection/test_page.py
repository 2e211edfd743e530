import pytest

from benchmarks.bench_detection import FORMAT, load, main
from benchmarks.detection.page import fill
from benchmarks.detection.plot import draw
from benchmarks.pages import BEGIN, END
from trtforge.errors import ConfigError, ReportError


def test_tables_by_hand():
    counts = {"pass": 3, "fail": 1, "undecided": 0}
    result = {
        "format": FORMAT,
        "clips": {"name": "some", "sha256": "b" * 64, "num_clips": 24},
        "config": {
            "wer_budget": 0.0,
            "wer_resolution": 0.005,
            "snr_budget_db": 1.0,
            "snr_resolution_db": 2.0,
            "speed_budget": 0.02,
            "speed_resolution": 0.03,
            "false_alarm_rate": 0.01,
            "miss_rate": 0.02,
        },
        "trials": 4,
        "rebuilds": 2,
        "noise": 0.001,
        "wer": 0.25,
        "snr_db": 28.0,
        "rebuild_changes": {"clips": 1.5, "errors": 2.0},
        "verdicts": [{"kind": "unchanged", "num_clips": 24, "num_words": 240, "trials": 4, **counts}],
        "broken": [
            {"tensor": "x", "factor": 4.0, "wer_increase": 1.5, "snr_loss_db": 9.0, "verdict": "fail"}
        ],
        "speed": [
            {"kind": "unchanged", "runs": 4, "rounds": 30, "ratio": 0.5, "spread_of_medians": 0.01, **counts}
        ],
        "run": {
            "command": "python -m x",
            "date": "2026-01-01",
            "machine": {"processor": "abacus", "num_cpus": 2},
            "versions": {"numpy": "2"},
        },
    }
    page = fill(f"before\n{BEGIN}\nold\n{END}\nafter\n", result)
    for line in (
        "| unchanged | 24 | 240 | 1 of 4 (25.0 %) | 0 of 4 (0.0 %) | 3 of 4 (75.0 %) |",
        "| `x` | +1.50 points, -9.0 dB: fail |",
        "| unchanged | 0.500 | 1 of 4 (25.0 %) | 0 of 4 (0.0 %) | 3 of 4 (75.0 %) |",
        "0 points and a resolution of 0.5; 1 dB and 2; 2 % and 3 %; false alarms 1 %, misses 2 %",
        "2 rebuilds, every range moved by up to 0.1 %: 1.5 clips and 2.0 errors change on average",
    ):
        assert line in page, line
    assert "old" not in page
    assert ">unchanged</text>" in draw(result)
    with pytest.raises(ConfigError, match="the page must hold"):
        fill("no markers", result)


def test_a_missing_result_says_how_to_make_one(tmp_path, capsys):
    with pytest.raises(ReportError, match=r"no result at .*nothing\.json"):
        load(tmp_path / "nothing.json")
    assert main(["--redraw", "--output", str(tmp_path / "nothing.json")]) == 1
    assert "python -m benchmarks.bench_detection" in capsys.readouterr().err
