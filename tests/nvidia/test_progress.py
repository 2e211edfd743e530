import pytest

from trtforge.nvidia.progress import BuildProgress, make_monitor


class FakeTrt:
    class IProgressMonitor:
        pass


def monitored(on_progress=None):
    progress = BuildProgress(on_progress)
    return progress, make_monitor(FakeTrt, progress)


def test_nested_phases_add_up_and_never_go_back():
    told = []
    _, monitor = monitored(lambda done, total: told.append((done, total)))
    monitor.phase_start("build", None, 4)
    assert monitor.step_complete("build", 0)
    monitor.phase_start("tactics", "build", 10)
    for step in range(5):
        monitor.step_complete("tactics", step)
    # A phase may end early, and its parent's step is then not yet done.
    monitor.phase_finish("tactics")
    monitor.step_complete("build", 1)
    monitor.phase_finish("build")
    assert told == [(25, 100), (27, 100), (30, 100), (32, 100), (35, 100), (37, 100), (50, 100)]


def test_steps_of_unknown_phases_and_empty_ones_do_no_harm():
    told = []
    _, monitor = monitored(lambda done, total: told.append(done))
    assert monitor.step_complete("never begun", 3)
    monitor.phase_finish("never begun")
    monitor.phase_start("empty", "", 0)
    monitor.step_complete("empty", 7)
    assert told == [100]


def test_a_cancelled_build_is_told_to_stop():
    progress, monitor = monitored()
    monitor.phase_start("build", None, 2)
    assert monitor.step_complete("build", 0)
    progress.cancel()
    assert progress.is_cancelled
    assert not monitor.step_complete("build", 1)
    progress.check()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_what_the_callback_raises_stops_the_build_and_is_raised_afterwards(kind):
    calls = []

    def fail(done, total):
        calls.append(done)
        raise kind("stop")

    progress, monitor = monitored(fail)
    monitor.phase_start("build", None, 2)
    assert not monitor.step_complete("build", 0)
    assert not monitor.step_complete("build", 1)
    assert calls == [50]
    with pytest.raises(kind, match="stop"):
        progress.check()


def test_where_the_library_says_nothing_the_time_is_told():
    told = []
    progress = BuildProgress(lambda done, total: told.append(done))
    for seconds in (1.0, 1.0, 5.0, 30.0):
        progress.estimate(10.0, seconds)
    progress.estimate(None, 40.0)
    progress.end()
    assert told == [10, 50, 99, 100]
    silent = BuildProgress(lambda done, total: told.append(done))
    silent.end()
    assert len(told) == 4
