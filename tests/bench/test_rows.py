import pytest

from trtforge.bench import BenchConfig, Case
from trtforge.bench.rows import Turn, summarize
from trtforge.errors import ConfigError


def test_turns_are_summed_up_by_hand():
    turns = [
        Turn(
            (2.0, 4.0),
            (1.0, 3.0),
            calls=10,
            seconds=0.5,
            energy_j=40.0,
            gpu_state={"sm_mhz": 1900, "why": "0x0"},
        ),
        Turn(
            (6.0, 8.0),
            (5.0, 7.0),
            calls=10,
            seconds=1.0,
            energy_j=80.0,
            gpu_state={"sm_mhz": 1800, "why": "0x4"},
        ),
        Turn((4.0, 4.0), (3.0, 3.0), calls=30, seconds=1.0, energy_j=60.0, host_bytes=7),
    ]
    found = summarize(turns, Case(4, 200), frame_s=0.01)
    assert found["calls"] == 6
    assert found["wall_ms"] == {"p50": 4.0, "p95": 7.5, "p99": 7.9, "rounds": [3.0, 7.0, 4.0]}
    assert found["device_ms"]["p50"] == 3.0
    # 10 calls of 4 rows in 0.5 s, in 1 s, and 30 in 1 s; a row is 2 s of signal
    assert found["rows_per_s"] == {"median": 80.0, "rounds": [80.0, 40.0, 120.0]}
    assert found["rtfx"] == 160.0
    # 1, 2 and 0.5 J a row
    assert found["energy_j"] == 1.0
    assert found["gpu_state"] == {"sm_mhz": [1800, 1900], "why": ["0x0", "0x4"]}
    assert found["host_bytes"] == 7


def test_a_cpu_has_no_device_times_and_an_image_no_real_time_factor():
    found = summarize([Turn((1.0,), None, calls=1, seconds=0.5)], Case(3), frame_s=0.01)
    assert (found["device_ms"], found["rtfx"], found["energy_j"]) == (None, None, None)
    assert found["rows_per_s"]["median"] == 6.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Case(0), "batch must be 1 or more, got 0"),
        (lambda: Case(1, 0), "frames must be 1 or more, got 0"),
        (lambda: BenchConfig(rounds=0), "rounds must be 1 or more, got 0"),
        (lambda: BenchConfig(burst_s=0), "burst_s must be above 0, got 0"),
        (lambda: BenchConfig(num_threads=0), "num_threads must be 1 or more"),
        (lambda: BenchConfig(profiles="both"), "profiles must be 'each' or 'wide', got 'both'"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
