import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench.made import small_network
from trtforge.bench.process import WorkerProcess
from trtforge.errors import ExecutionError


def test_a_worker_answers_loads_and_times(tmp_path: Path) -> None:
    model = small_network(tmp_path)
    mel = np.random.default_rng(0).standard_normal((3, 80, 20)).astype(np.float32)
    np.savez(tmp_path / "in.npz", mel=mel)
    with WorkerProcess("onnxruntime", timeout_s=60) as worker:
        about = worker.ask("about")
        assert about["python"] == sys.version.split()[0]
        assert set(about["versions"]) == {"onnxruntime", "numpy"}
        loaded = worker.ask("load", model=str(model), num_threads=1)
        assert loaded["rss_bytes"] > 10 << 20
        ready = worker.ask("prepare", inputs=str(tmp_path / "in.npz"), batch=2, cache_bytes=1 << 16)
        assert (ready["sets"], ready["past_cache"]) == (11, True)  # 12.8 kB each, 131 kB are wanted
        timed = worker.ask("singles", limit_s=0.05, max_calls=4, first=0)
        assert len(timed["wall_ms"]) <= 4
        worker.ask("run", inputs=str(tmp_path / "in.npz"), outputs=str(tmp_path / "out.npz"))
        assert np.load(tmp_path / "out.npz")["hidden"].shape == (3, 4, 20)


def test_what_goes_wrong_in_a_worker_is_told_and_it_goes_on(tmp_path: Path) -> None:
    with WorkerProcess("onnxruntime", timeout_s=60) as worker:
        with pytest.raises(ExecutionError, match=r"onnxruntime cannot load: .*nothing\.onnx"):
            worker.ask("load", model=str(tmp_path / "nothing.onnx"))
        assert worker.ask("about")["versions"]["onnxruntime"]


def test_a_worker_that_cannot_live_is_told_by_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="does not start"):
        WorkerProcess("torch", python=str(tmp_path / "no-python"))
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\necho nobody home >&2\nexit 3\n")
    deaf.chmod(0o755)
    with (
        WorkerProcess("torch", python=str(deaf)) as worker,
        pytest.raises(ExecutionError, match="the torch worker ended with status 3: nobody home"),
    ):
        worker.ask("about")
    with WorkerProcess("torch", python=str(deaf), timeout_s=20) as worker:
        for _ in range(2):  # whoever asks again is told at once, not after the time limit
            with pytest.raises(ExecutionError, match="ended with status 3"):
                worker.ask("about")
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with (
        WorkerProcess("torch", python=str(slow), timeout_s=0.2) as worker,
        pytest.raises(ExecutionError, match=r"torch did not answer within 0\.2 s"),
    ):
        worker.ask("about")


def test_another_interpreter_sees_trtforge_and_nothing_beside_it(tmp_path: Path) -> None:
    spy = tmp_path / "spy"
    spy.write_text('#!/bin/sh\nls "${PYTHONPATH%%:*}" >&2\nexit 1\n')
    spy.chmod(0o755)
    with (
        WorkerProcess("torch", python=str(spy)) as worker,
        pytest.raises(ExecutionError, match=r"ended with status 1: trtforge$"),
    ):
        worker.ask("about")
