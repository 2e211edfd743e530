"""How clips a second are counted, and what was published."""

import json

from benchmarks import bench_ray_scaling
from benchmarks.bench_ray_scaling import Progress
from tests.bundled import ROOT


def test_the_first_quarter_is_not_counted(monkeypatch):
    clock = iter([3.0, 4.0, 5.0, 7.0, 9.0])
    monkeypatch.setattr(bench_ray_scaling.time, "perf_counter", lambda: next(clock))
    seen = Progress()
    for done in (10, 20, 40, 70, 80):
        seen(done, 80)
    assert seen.last_three_quarters() == (60, 5.0)


def test_all_gpus_gave_the_same_texts_and_more_of_them_more_a_second():
    result = json.loads((ROOT / "benchmarks/results/ray_scaling.json").read_text())
    one, two = result["rows"]
    assert (one["actors"], two["actors"]) == (1, 2)
    assert one["same_texts"]
    assert two["same_texts"]
    assert not one["errors"]
    assert not two["errors"]
    ratio = two["clips_per_second"] / one["clips_per_second"]
    assert f"{ratio:.2f} times as many" in (ROOT / "docs/ray.md").read_text()
