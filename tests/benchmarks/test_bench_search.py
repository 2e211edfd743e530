import pytest

from benchmarks.bench_search import BUDGETS, PAGE, PLOT, RESULT, fill, load, main, with_times
from benchmarks.pages import BEGIN, END
from trtforge.assignment import AccuracyBudget, Score
from trtforge.errors import BuildError
from trtforge.report.frontier import draw_frontier

measured = pytest.mark.skipif(
    not RESULT.is_file(), reason="python -m benchmarks.bench_search has not been run"
)


@measured
def test_the_page_the_plot_and_the_result_agree():
    page, result = PAGE.read_text(encoding="utf-8"), load(RESULT)
    assert fill(page, result) == page
    assert draw_frontier({**result, **result["chosen"][-1]}).count("<path") == PLOT.read_text().count("<path")


@measured
def test_the_assignments_meet_their_budgets_and_two_searches_gave_the_same():
    result = load(RESULT)
    assert len(result["digests"]) == 2
    assert len(set(result["digests"])) == 1
    assert [entry["budget"] for entry in result["chosen"]] == list(BUDGETS)
    for entry in result["chosen"]:
        assignment = entry["assignment"]
        budget = AccuracyBudget.from_json(assignment["budget"])
        assert budget == BUDGETS[entry["budget"]]
        assert budget.excess(Score.from_json(assignment["score"])) == ()
        share = sum(row["share"] for row in result["sensitivity"] if row["group"] in assignment["int8"])
        assert assignment["int8_share"] == pytest.approx(share)


def score(snr_db, errors):
    words = {"num_clips": 40, "num_words": 400, "reference_errors": 100, "errors": errors}
    return {"snr_db": snr_db, "cosine": 0.999, "words": words, "strata": {"noise=none": words}}


def test_the_tables_say_what_the_result_says():
    def point(left_out, share, found):
        return {"left_out": left_out, "int8_share": share, "excess": [], "score": found}

    def assignment(budget, keep_float, share, found):
        return {"budget": budget.to_json(), "keep_float": keep_float, "int8_share": share, "score": found}

    points = [
        point([], 1.0, score(20.0, 101)),
        point(["a"], 0.75, score(30.0, 100)),
        point(["a", "b"], 0.0, score(None, 100)),
    ]
    rows = [
        {"group": name, "share": share, "alone": score(40.0, 100), "left_out": score(21.0, 102)}
        for name, share in (("a", 0.25), ("b", 0.75))
    ]
    run = {"command": "c", "commit": None, "date": "d", "machine": {"processor": "p", "num_cpus": 2}}
    judged = {"num_clips": 9, "num_words": 100, "num_errors": 40, "increase": None, "interval": None}
    result = {
        "num_clips": 40,
        "digests": ["a" * 64, "a" * 64],
        "everything": points[0]["score"],
        "sensitivity": rows,
        "order": ["a", "b"],
        "frontier": points,
        "chosen": [
            {"budget": "words", "refined": [], "assignment": assignment(
                AccuracyBudget(wer_increase=0.003), [], 1.0, points[0]["score"])},
            {"budget": "SNR", "refined": [points[1]], "assignment": assignment(
                AccuracyBudget(snr_db=25.0), ["a"], 0.75, points[1]["score"])},
        ],
        "judged": [
            {**judged, "runner": "FP32", "snr_db": None},
            {**judged, "runner": "INT8", "snr_db": 20.0, "increase": -0.01, "interval": [-0.02, 0.005]},
        ],
        "run": {**run, "versions": {"onnx": "1"}},
    }  # fmt: skip
    told = fill(f"{BEGIN}\n{END}", result)
    assert "| all layers INT8 | 100.0 | 20.0 | 0.99900 | +0.25 | +0.25 (noise=none) |" in told
    assert "| chosen for SNR | 75.0 | 30.0 | 0.99900 | +0.00 | +0.00 (noise=none) |" in told
    assert "In floating point, chosen for SNR (at least 25 dB): `a`." in told
    assert "In floating point, chosen for words (at most 0.3 points of WER): nothing." in told
    assert "| `b` | 75.0 | 40.0 | +0.00 | 21.0 | +0.50 | 2 |" in told
    assert "| one by one | 0 | 100.0 | 20.0 | 0.99900 | +0.25 | chosen | beyond |" in told
    assert "| one by one | 1 | 75.0 | 30.0 | 0.99900 | +0.00 | within | chosen |" in told
    assert "| one by one | 2 | 0.0 | exact | 0.99900 | +0.00 | within | within |" in told
    assert "| INT8 | 9 | 100 | 20.0 | 40.00 | -1.00 | -2.00 to +0.50 |" in told
    assert "2 searches from nothing gave the same result" in told
    assert "Time on a GPU" not in told
    times = [(0.5, 0.49, 0.51, None), (None, None, None, "a | b"), (1.0, 1.0, 1.0, None)]
    for timed, time in zip(points, times, strict=True):
        timed["time"] = dict(zip(("ratio", "low", "high", "error"), time, strict=True))
    gpu = {**run, "machine": {"gpus": ["H200"]}, "versions": {"tensorrt": "8.6.0"}}
    timed = fill(f"{BEGIN}\n{END}", {**result, "timed": gpu})
    assert "| one by one | 0 | 100.0 | 20.0 | 50.0 | 49.0 to 51.0 |" in timed
    assert "| taken back | 1 | 75.0 | 30.0 | not built | a / b |" in timed
    assert "`c` at commit `unknown` on d, on H200; tensorrt 8.6.0." in timed
    other = fill(f"{BEGIN}\n{END}", {**result, "digests": ["a" * 64, "b" * 64]})
    assert "gave different results" in other


def test_every_choice_is_built_once_and_what_fails_is_noted():
    def point(left_out, share):
        return {"left_out": left_out, "int8_share": share, "excess": [], "score": score(30.0, 100)}

    result = {
        "frontier": [point([], 1.0), point(["a"], 0.75), point(["a", "b"], 0.0)],
        "chosen": [{"budget": "words", "refined": [point(["a"], 0.75), point(["b"], 0.25)]}],
    }
    built, steps = [], []

    def time_choice(left_out):
        built.append(left_out)
        if left_out != ("a",):
            raise BuildError("no implementation")
        return {"mel (16, 80, 512)": [0.5, 0.6, 0.7]}

    timed = with_times(result, time_choice, lambda *at: steps.append(at))
    assert built == [(), ("a",), ("b",)]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    half = {"ratio": 0.6, "low": 0.55, "high": 0.65, "error": None}
    broken = {"ratio": None, "low": None, "high": None, "error": "no implementation"}
    same = {"ratio": 1.0, "low": 1.0, "high": 1.0, "error": None}
    assert [one["time"] for one in timed["frontier"]] == [broken, half, same]
    assert [one["time"] for one in timed["chosen"][0]["refined"]] == [half, broken]
    assert "time" not in result["frontier"][0]


def test_a_missing_result_is_an_error(tmp_path, capsys):
    assert main(["--redraw", "--output", str(tmp_path / "none.json")]) == 1
    assert "no result at" in capsys.readouterr().err
