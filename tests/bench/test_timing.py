import time

import numpy as np
import pytest

from trtforge.bench.timing import burst, settle, singles
from trtforge.bench.worker import rotate


class Sleeper:
    """Work that takes a known time, less of it from call to call until it has warmed up."""

    def __init__(self, slow_calls=0, ms=2.0):
        self.slow_calls, self.ms, self.launched = slow_calls, ms, []

    def launch(self, index):
        slow = 20 if len(self.launched) < self.slow_calls else 0
        time.sleep((self.ms + slow) / 1000)
        self.launched.append(index)

    def synchronize(self):
        pass

    def mark(self, which):
        pass

    def elapsed_ms(self):
        return None


def test_warming_up_ends_when_times_are_alike_or_the_time_is_up():
    steady = settle(Sleeper(), limit_s=5, tolerance=0.5)
    assert steady["is_settled"]
    assert 0.3 <= steady["seconds"] < 2
    never = settle(Sleeper(), limit_s=0.25, tolerance=1e-9)
    assert not never["is_settled"]
    assert never["calls"] > 20


def test_single_calls_go_on_with_the_inputs_where_the_last_round_ended():
    work = Sleeper()
    found = singles(work, limit_s=10, max_calls=5, first=40)
    assert work.launched[-5:] == [40, 41, 42, 43, 44]
    assert len(found["wall_ms"]) == 5
    assert found["device_ms"] is None
    assert min(found["wall_ms"]) >= 2


def test_a_burst_lasts_about_as_long_as_it_is_told():
    found = burst(Sleeper(), seconds=0.1, call_ms=2.0, first=0)
    assert found["calls"] == 50
    assert found["seconds"] >= 0.1


def test_inputs_take_more_than_twice_the_cache():
    rows = {"mel": np.arange(3 * 10, dtype=np.float32).reshape(3, 10)}  # 40 bytes a row
    sets = rotate(rows, batch=2, cache_bytes=400)["mel"]
    assert sets.shape == (10, 2, 10)
    assert sets.nbytes == 800
    # rows 0, 1; 2, 0; 1, 2; and again
    assert (sets[1, 0] == rows["mel"][2]).all()
    assert (sets[1, 1] == rows["mel"][0]).all()
    assert (sets[3] == sets[0]).all()
    assert rotate(rows, batch=2, cache_bytes=1)["mel"].shape == (2, 2, 10)
    assert sets.nbytes == pytest.approx(2 * 400)
