import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtforge.errors import ConfigError
from trtforge.speech import Window, WindowPlan


def test_windows_by_hand():
    plan = WindowPlan(window_frames=20, left=3, right=5, stride=2)
    # in a window, output 2 is the first that sees 3 frames before it, output 7 the last with 5 after it
    assert (plan.kept, plan.hop_frames) == (6, 12)
    assert list(plan.windows(41)) == [
        Window(0, 20, 0, 8),
        Window(12, 32, 8, 14),
        Window(22, 41, 14, None),
    ]


def test_what_fits_a_window_is_not_cut():
    assert list(WindowPlan(20, 3, 5).windows(20)) == [Window(0, 20, 0, None)]


@given(st.integers(1, 60), st.integers(-3, 20), st.integers(-3, 20), st.integers(1, 4), st.integers(1, 500))
def test_windows_cover_the_input_and_keep_only_what_is_exact(window, left, right, stride, frames):
    try:
        plan = WindowPlan(window, left, right, stride)
    except ConfigError:
        return
    windows = list(plan.windows(frames))
    position = 0
    for each in windows:
        assert each.start % stride == 0
        assert 0 <= each.start < each.stop <= frames
        assert window - stride < each.stop - each.start <= window or len(windows) == 1
        assert each.first == position
        last = each.last if each.last is not None else -(-frames // stride)
        for output in range(each.first, last):
            assert each.start == 0 or output * stride - left >= each.start
            assert each.stop == frames or output * stride + right < each.stop
        position = last
    assert windows[-1].stop == frames
    assert position == -(-frames // stride)


def test_a_window_within_its_margins_is_refused():
    with pytest.raises(ConfigError, match=r"no output frame that sees the 10 frames before and 10 after"):
        WindowPlan(20, 10, 10)
    with pytest.raises(ConfigError, match=r"window_frames must be a whole number of frames, got 400\.5"):
        WindowPlan(400.5, 0, 0)
    with pytest.raises(ConfigError, match="1 or more and window_frames no less, got 0 and 20"):
        WindowPlan(20, 1, 1, 0)
    with pytest.raises(ConfigError, match="1 frame or more, got 0"):
        list(WindowPlan(20, 1, 1).windows(0))
