"""How clips a second are counted, and what was published."""

import json
import time
from collections import defaultdict

import pytest

from benchmarks import bench_ray_scaling
from benchmarks.bench_ray_scaling import Progress
from benchmarks.many_clips.processor_time import processor_seconds
from tests.bundled import ROOT


def test_the_first_quarter_is_not_counted(monkeypatch):
    clock = iter([3.0, 4.0, 5.0, 7.0, 9.0])
    spent = iter([{"driver": 1.0}, {"driver": 1.3, "ray": 0.6}])
    monkeypatch.setattr(bench_ray_scaling.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(bench_ray_scaling, "processor_seconds", lambda: defaultdict(float, next(spent)))
    seen = Progress()
    for done in (10, 20, 40, 70, 80):
        seen(done, 80)
    assert seen.last_three_quarters() == (60, 5.0)
    assert seen.processor_ms_per_clip() == pytest.approx({"driver": 5.0, "ray": 10.0})


def test_the_page_tells_what_a_clip_costs():
    result = json.loads((ROOT / "benchmarks/results/ray_cost.json").read_text())
    (row,) = result["rows"]
    page = " ".join((ROOT / "docs/ray.md").read_text().split())
    cost = row["processor_ms_per_clip"]
    assert f"takes {cost['decoding']:.2f} ms of a core to decode" in page
    assert f"{cost['recogniser']:.2f} ms in the process that has the network" in page
    assert f"{cost['driver']:.2f} ms in the one that writes results" in page
    assert f"{cost['ray']:.2f} ms in Ray's own processes" in page
    assert (result["repeats"], row["errors"]) == (0, {})


def test_processor_time_is_that_of_this_process_and_those_below_it():
    before = processor_seconds()["driver"]
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert processor_seconds()["driver"] - before >= 0.05


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
