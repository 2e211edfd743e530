import pytest

from benchmarks import bench_store


def test_many_processes_build_once(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_store, "STAND_IN_SECONDS", 0.2)
    found = bench_store.time_one_key(tmp_path, num_processes=4)
    assert (found["processes"], found["builds"], found["failed"]) == (4, 1, 0)
    assert 0.2 < found["all_have_it_after_s"] < 60


def test_hits_are_timed_here_and_in_new_processes(tmp_path):
    pytest.importorskip("tensorrt_rtx")
    found = bench_store.time_hits(tmp_path, "tensorrt_rtx", on_gpu=False, repeats=1)
    assert found["plan_bytes"] > 1_000_000
    assert 0 < found["ask_to_engine_ms"]["median"] < 1e3 * found["build_s"]
    assert found["ask_to_first_result_ms"] is None
    (new,) = found["new_process"]
    assert new["hits"] == 1
    assert new["engine_to_first_result_ms"] is None
    assert new["whole_process_ms"] > new["ask_to_engine_ms"] > 0
