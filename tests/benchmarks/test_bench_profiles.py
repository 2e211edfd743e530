import numpy as np
import pytest

from benchmarks.bench_profiles import PAGE, RESULT, fill, load, main, padding
from benchmarks.pages import BEGIN, END
from benchmarks.profiles import gpu
from benchmarks.profiles.gpu import batches_of, measure_gpu
from benchmarks.profiles.page import draw
from benchmarks.profiles.workloads import podcast_frames
from tests.runtime import fake_gpu
from trtforge.errors import NoGpuError
from trtforge.nvidia import gpus
from trtforge.profiles import Workload, plan_buckets
from trtforge.runtime import Session


@pytest.mark.skipif(not RESULT.is_file(), reason="python -m benchmarks.bench_profiles has not been run")
def test_the_page_and_the_result_agree():
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, load(RESULT)) == page


def test_no_way_pads_less_than_the_planner():
    frames = podcast_frames(500, filled=False)
    rows = padding("some", Workload.of(frames))
    planned = {row["num_profiles"]: row["waste"] for row in rows if row["way"] == "planner"}
    assert sorted(planned) == list(range(1, 9))
    assert all(row["waste"] >= planned[row["num_profiles"]] - 1e-6 for row in rows)


def test_podcasts_are_the_same_each_time_and_fit_the_window():
    every, filled = (podcast_frames(2000, filled=filled) for filled in (False, True))
    assert every == podcast_frames(2000, filled=False)
    assert max(every + filled) <= 3000
    assert sum(filled) > 2 * sum(every)


def test_a_trial_writes_json_plot_and_tables(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    words = ["--lengths", "300", "--output", str(tmp_path / "a.json"), "--page", str(page)]
    words += ["--plot", str(tmp_path / "a.svg")]
    assert main(words) == 0
    text = page.read_text()
    assert "old" not in text
    assert "Not measured yet; `--gpu` of the same script does." in text
    assert ">planner</text>" in (tmp_path / "a.svg").read_text()
    result = load(tmp_path / "a.json")
    assert draw(result) == draw(result)
    measured = {
        "gpu": "abacus",
        "tensorrt": "8.6.0",
        "workload": "some",
        "num_requests": 10,
        "num_profiles": 2,
        "turns": 3,
        "latency_turns": 4,
        "calls_a_turn": 5,
        "throughput": [{"engine": "e", "inputs": "i", "batch": 8, "clips_per_s": 12.0, "frames_per_s": 3400}],
        "latency": [
            {
                "frames": 400,
                "batch": 8,
                "planned_ms": 1.05,
                "single_ms": 1.0,
                "ratio": 1.04,
                "ratio_least": 0.99,
                "ratio_most": 1.1,
            }
        ],
    }
    told = fill(f"{BEGIN}\n{END}", {**result, "gpu": measured})
    assert "| e | i | 8 | 12 | 3400 |" in told
    assert "| 400 | 8 | 1.050 | 1.000 | +4.0 (-1.0 to +10.0) |" in told


def test_requests_are_grouped_by_bucket_in_their_order():
    plan = plan_buckets([10, 20, 100, 90, 30], multiple_of=1, max_profiles=2, profile_price=0)
    assert [bucket.frames for bucket in plan.buckets] == [(10, 30, 30), (31, 100, 100)]
    assert batches_of([10, 20, 100, 90, 30], plan, batch=2, padded=False) == [(2, 20), (1, 30), (2, 100)]
    assert batches_of([10, 20, 100, 90, 30], plan, batch=2, padded=True) == [(2, 30), (1, 30), (2, 100)]


def test_engines_take_turns(monkeypatch):
    fake_gpu.install(monkeypatch)
    monkeypatch.setattr(
        gpu, "_feed", lambda rows, _: {"x": np.ones((rows, 3), np.float32), "n": np.ones(rows, np.int32)}
    )
    engines, asked, run = {"a": fake_gpu.ENGINE, "b": fake_gpu.ENGINE}, [], Session.run

    def note(session, *arguments, **settings):
        asked.append(session)
        return run(session, *arguments, **settings)

    monkeypatch.setattr(Session, "run", note)
    times = gpu._latencies_ms(engines, (2, 100), 3, turns=4)
    assert [len(times[name]) for name in engines] == [4, 4]
    first, second = dict.fromkeys(asked)
    assert asked == 5 * [first, first, first, second, second, second]
    plan = plan_buckets([100, 200], batch_sizes=(1, 2), max_profiles=2)
    served = {name: (plan, engine) for name, engine in engines.items()}
    seconds = gpu._seconds(served, [100, 200, 100], batch=2, padded=True, turns=2)
    assert list(seconds) == ["a", "b"]
    assert all(value > 0 for value in seconds.values())


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_the_gpu_part_says_what_is_missing():
    with pytest.raises(NoGpuError, match="--gpu needs a GPU and TensorRT"):
        measure_gpu([100], workload="some", keep=print)
