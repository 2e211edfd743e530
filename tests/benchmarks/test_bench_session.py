import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import bench_session
from tests.runtime import fake_gpu


@pytest.fixture
def machine(monkeypatch):
    return fake_gpu.install(monkeypatch)


def feeds():
    return [
        {"x": np.full((batch, 3), batch, np.float32), "n": np.arange(batch, dtype=np.int32)}
        for batch in (1, 2, 4, 8)
    ]


def test_overhead_is_measured_in_turns(machine):
    library, driver = machine
    rows = bench_session.measure_overhead(fake_gpu.ENGINE, feeds()[1], turns=3, calls=5)
    assert [row["way"] for row in rows] == [bench_session.BARE, bench_session.RUN, bench_session.GRAPH]
    assert rows[0]["above_bare_us"] == 0
    assert all(row["p5_us"] <= row["median_us"] <= row["p95_us"] for row in rows)
    assert rows[2]["graph_replays"] >= 15
    assert (driver.memory, driver.graphs, driver.streams) == ({}, {}, 0)
    assert len(library.contexts) == 0


@pytest.mark.parametrize("graphs", [0, 2])
def test_results_of_threads_are_compared(machine, monkeypatch, graphs):
    found = bench_session.measure_threads(fake_gpu.ENGINE, feeds(), each=6, cuda_graphs=graphs)
    assert (found["requests"], found["differing"], found["failures"]) == (48, 0, [])
    plain, calls = fake_gpu.FakeContext._compute, []

    def wrong_later(self, shapes, addresses):
        calls.append(1)
        plain(self, shapes, addresses)
        if len(calls) > 52:
            driver_value = np.frombuffer(machine[1].memory[addresses["y"]], np.uint8)
            driver_value[:] ^= 1

    monkeypatch.setattr(fake_gpu.FakeContext, "_compute", wrong_later)
    found = bench_session.measure_threads(fake_gpu.ENGINE, feeds(), each=6)
    assert found["differing"] == 48


def test_growth_is_zero_where_nothing_grows(machine):
    found = bench_session.measure_growth(
        fake_gpu.ENGINE, feeds()[:2], requests=40, cuda_graphs=2, warm_up=20, checks=4
    )
    assert [row["requests"] for row in found["checks"]] == [0, 10, 20, 30, 40]
    assert found["failures"] == []
    last = found["checks"][-1]["num_contexts"]
    assert last <= found["most_contexts"] == 12
    settled = next(row for row in found["checks"] if row["num_contexts"] == last)
    assert found["settled_after_requests"] == settled["requests"]
    # Threads may happen to meet only near the end, and then it says nothing.
    assert found["device_growth_bytes"] == (0 if settled["requests"] <= 30 else None)


@pytest.mark.parametrize(
    ("contexts", "settled", "growth"),
    [([1, 1, 1, 1, 1], 0, 400), ([1, 2, 2, 2, 2], 10, 300), ([1, 1, 1, 1, 2], 40, None)],
)
def test_growth_is_seen_once_contexts_have_settled(machine, monkeypatch, contexts, settled, growth):
    free, counts = iter(range(1000, 0, -100)), iter(contexts)
    monkeypatch.setattr(bench_session, "free_memory_bytes", lambda: next(free))
    monkeypatch.setattr(bench_session.Session, "memory", lambda _: SimpleNamespace(num_contexts=next(counts)))
    found = bench_session.measure_growth(
        fake_gpu.ENGINE, feeds()[:2], requests=40, cuda_graphs=0, warm_up=20, checks=4
    )
    assert (found["settled_after_requests"], found["device_growth_bytes"]) == (settled, growth)


def test_every_part_is_written(machine, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench_session, "build_recogniser", lambda: (fake_gpu.ENGINE, "a" * 64))
    monkeypatch.setattr(bench_session, "random_feeds", lambda shapes: feeds())
    output = tmp_path / "session.json"
    assert bench_session.main(["--output", str(output), "--each", "2", "--requests", "20"]) == 0
    written = json.loads(output.read_text())
    assert written["format"] == bench_session.FORMAT
    assert [row["cuda_graphs"] for row in written["threads"]] == [0, 4]
    assert written["growth"][0]["requests"] == 20
    assert "overhead: " in capsys.readouterr().out
