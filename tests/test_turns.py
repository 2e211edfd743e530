"""Programs that time on one machine take turns where the environment says so."""

import threading
import time

import pytest

from trtforge import _turns
from trtforge.checks import time_side_by_side


@pytest.mark.parametrize("is_set", [True, False])
def test_what_is_timed_at_once_is_timed_in_turns(tmp_path, monkeypatch, is_set):
    monkeypatch.delenv(_turns.VARIABLE, raising=False)
    monkeypatch.setattr(_turns, "_PAUSE_SECONDS", 0)
    if is_set:
        monkeypatch.setenv(_turns.VARIABLE, str(tmp_path / "lock"))
    inside, most = [], []
    both = threading.Barrier(2)

    def call():
        inside.append(1)
        time.sleep(0.02)
        most.append(len(inside))
        inside.pop()

    def program():
        both.wait(10)
        assert len(time_side_by_side(call, call, num_rounds=3, num_warmup=0).candidate_ms) == 3

    threads = [threading.Thread(target=program) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 12
    assert max(most) == (1 if is_set else 2)
