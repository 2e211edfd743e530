"""Processes of a search that was killed do not go on by themselves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from trtforge.assignment.scorer import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, context, end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_search_leaves_no_process(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        state = Path(f"/proc/{child}")
        assert state.exists()
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 20
    while state.exists() and time.monotonic() < end:
        time.sleep(0.1)
    try:
        assert not state.exists()
    finally:
        if state.exists():
            os.kill(child, signal.SIGKILL)
