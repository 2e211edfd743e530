import pytest

from benchmarks.bench_detection import FORMAT, PAGE, PLOT, RESULT, fill, load, main
from benchmarks.detection.plot import draw
from benchmarks.pages import BEGIN, END, to_text
from trtforge.errors import ConfigError, ReportError


def test_the_page_and_the_result_agree():
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, load(RESULT)) == page, "python -m benchmarks.bench_detection --redraw"


def test_the_result_is_written_as_it_reads():
    assert to_text(load(RESULT)) == RESULT.read_text(encoding="utf-8")


def test_the_plot_is_that_of_the_result():
    result, drawn = load(RESULT), PLOT.read_text(encoding="utf-8")
    for kind in {row["kind"] for row in result["verdicts"]}:
        assert f">{kind}</text>" in drawn
    assert draw(result) == draw(result)


def test_the_page_keeps_what_its_text_says():
    """The text around the tables was written for these figures; read it again where this fails."""
    result = load(RESULT)
    found = {(row["kind"], row["num_clips"]): row for row in result["verdicts"]}
    for size in (30, 60, 120, 240, 480):
        assert found["unchanged", size]["trials"] == 200
        assert found["unchanged", size]["fail"] <= 2
        assert found["one that costs budget and resolution", size]["fail"] == 200
    losses = [row["snr_loss_db"] for row in result["broken"]]
    assert [len(losses), sum(x >= 2 for x in losses), sum(x < 1 for x in losses)] == [38, 23, 6]
    resolved = [found["what can be resolved", size]["fail"] for size in (30, 60, 120, 240, 480)]
    assert sum(resolved) == 993
    assert min(resolved) == 195
    assert found["what can be resolved", 240]["points"] == pytest.approx(2.2, abs=0.05)
    assert result["clips_for"][0]["num_clips"] == pytest.approx(3200, abs=50)
    for row in result["noises"]:
        if row["judged_by"] == "runs" and row["kind"] != "5 % slower":
            assert row["fail"] <= 0.02 * row["trials"], row


def test_tables_by_hand():
    counts = {"pass": 3, "fail": 1, "undecided": 0}
    run = {
        "command": "python -m x",
        "date": "2026-01-01",
        "machine": {"processor": "abacus", "num_cpus": 2},
        "versions": {"numpy": "2"},
    }
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
        "clips_for": [{"points": 0.5, "num_clips": 2000}],
        "rebuilds": 2,
        "noise": 0.001,
        "wer": 0.25,
        "snr_db": 28.0,
        "rebuild_changes": {"clips": 1.5, "errors": 2.0},
        "verdicts": [
            {"kind": kind, "num_clips": 24, "num_words": 240, "points": points, "trials": 4, **counts}
            for kind, points in (("unchanged", None), ("2 points", 2.0))
        ],
        "broken": [
            {"tensor": "x", "factor": 4.0, "wer_increase": 1.5, "snr_loss_db": 9.0, "verdict": "fail"}
        ],
        "noises": [{"noise": "some", "kind": "unchanged", "judged_by": "runs", "trials": 4, **counts}],
        "speed": {
            "verdicts": [
                {
                    "kind": "unchanged",
                    "runs": 40,
                    "rounds": 10,
                    "trials": 4,
                    "ratio": 0.5,
                    "spread": 0.01,
                    **counts,
                }
            ]
        },
        "runs": {"simulate": run},
    }
    page = fill(f"before\n{BEGIN}\nold\n{END}\nafter\n", result)
    for line in (
        "| unchanged | 24 | 240 |  | 1 of 4 (25.0 %) | 0 of 4 (0.0 %) | 3 of 4 (75.0 %) |",
        "| 2 points | 24 | 240 | 2.00 | 1 of 4 (25.0 %) |",
        "found are 0.5 points with 2,000 clips",
        "| `x` | +1.50 points, -9.0 dB: fail |",
        "| some | unchanged | runs | 1 of 4 (25.0 %) | 0 of 4 (0.0 %) | 3 of 4 (75.0 %) |",
        "40 runs of 10 rounds, each a process of its own; runs scatter by 1.0 %",
        "| unchanged | 0.500 | 1 of 4 (25.0 %) | 0 of 4 (0.0 %) | 3 of 4 (75.0 %) |",
        "0 points and a resolution of 0.5; 1 dB and 2; 2 % and 3 %; false alarms 1 %, misses 2 %",
        "2 rebuilds, every range moved by up to 0.1 %: 1.5 clips and 2.0 errors change on average",
        "* simulate: `python -m x`, 2026-01-01, 2 cores of abacus; numpy 2",
    ):
        assert line in page, line
    assert "old" not in page
    untimed = fill(f"{BEGIN}\n{END}", {**result, "speed": {"ratios": {}, "verdicts": []}})
    assert "Not timed yet" in untimed
    assert ">unchanged</text>" in draw(result)
    with pytest.raises(ConfigError, match="the page must hold"):
        fill("no markers", result)


def test_a_missing_result_says_how_to_make_one(tmp_path, capsys):
    with pytest.raises(ReportError, match=r"no result at .*nothing\.json"):
        load(tmp_path / "nothing.json")
    assert main(["--redraw", "--output", str(tmp_path / "nothing.json")]) == 1
    assert "python -m benchmarks.bench_detection" in capsys.readouterr().err
