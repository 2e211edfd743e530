import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from tests.engine.networks import PROFILE, conv_net
from trtforge.engine import build
from trtforge.nvidia import interruption
from trtforge.nvidia.interruption import has_abandoned_work, run_interruptibly


def interrupt_soon():
    threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()


def test_work_is_done_in_another_thread_and_its_result_and_errors_come_back():
    assert run_interruptibly(threading.current_thread, None) is not threading.main_thread()
    with pytest.raises(ZeroDivisionError):
        run_interruptibly(lambda: 1 // 0, None)


def test_outside_the_main_thread_it_is_simply_done():
    found = []
    thread = threading.Thread(
        target=lambda: found.extend([run_interruptibly(threading.current_thread, None), thread])
    )
    thread.start()
    thread.join()
    assert found[0] is found[1]


def test_an_interrupt_asks_the_work_to_end_and_waits_for_it():
    asked, ended = threading.Event(), threading.Event()

    def work():
        asked.wait(20)
        time.sleep(0.2)
        ended.set()

    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(work, asked.set)
    assert ended.is_set()
    assert not has_abandoned_work()


def test_work_that_cannot_be_asked_is_left_alone(monkeypatch):
    monkeypatch.setattr(interruption, "_abandoned", [])
    free = threading.Event()
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(lambda: free.wait(20), None)
    assert has_abandoned_work()
    free.set()
    assert interruption._abandoned[0].wait(5)
    assert not has_abandoned_work()


def test_the_callers_gpu_is_that_of_the_work(monkeypatch):
    used = []
    monkeypatch.setattr(interruption, "current_device", lambda: 3)
    monkeypatch.setattr(interruption, "set_device", used.append)
    assert run_interruptibly(lambda: list(used), None) == [3]


def test_a_build_that_is_interrupted_in_its_callback_ends():
    pytest.importorskip("tensorrt_rtx")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(conv_net(), profiles=[PROFILE], flavor="tensorrt_rtx", on_progress=stop)
    assert len(build(conv_net(), profiles=[PROFILE], flavor="tensorrt_rtx").plan) > 10_000


def test_control_c_ends_a_real_build_and_leaves_nothing(tmp_path):
    pytest.importorskip("tensorrt_rtx")
    program = textwrap.dedent("""
        import os, signal, threading
        from tests.engine.networks import PROFILE, conv_net
        from trtforge.engine import build
        sent = []
        def once(done, total):
            if not sent:
                sent.append(done)
                os.kill(os.getpid(), signal.SIGINT)
        try:
            build(conv_net(), profiles=[PROFILE], flavor="tensorrt_rtx", on_progress=once)
        except KeyboardInterrupt:
            print("interrupted at", sent[0], [thread.name for thread in threading.enumerate()])
            raise SystemExit(130)
    """)
    command = [sys.executable, "-c", program]
    here = {"TMPDIR": str(tmp_path), "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=here)
    assert done.returncode == 130, done.stderr
    assert done.stdout.startswith("interrupted at")
    assert "trtforge-build" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_who_waits_hears_how_long_and_may_end_it(monkeypatch):
    monkeypatch.setattr(interruption, "_abandoned", [])
    heard = []
    run_interruptibly(lambda: time.sleep(0.35), None, heard.append)
    assert heard == sorted(heard)
    assert 0.05 < heard[0] < heard[-1]

    def stop(seconds):
        raise ValueError("enough")

    free = threading.Event()
    with pytest.raises(ValueError, match="enough"):
        run_interruptibly(lambda: free.wait(20), None, stop)
    assert has_abandoned_work()
    free.set()
