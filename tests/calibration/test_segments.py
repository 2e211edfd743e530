import pytest

from trtforge.calibration.segments import Segment, Step, held_bytes, plan_segments


def chain(count, weight_bytes=0):
    """t0 -> t1 -> ...: step i reads t(i-1) and makes t(i)."""
    return [Step((f"t{i - 1}",) if i else (), (f"t{i}",), weight_bytes) for i in range(count)]


def plan(steps, observed, sizes, max_bytes, **options):
    names = [name for step in steps for name in step.makes]
    return plan_segments(steps, observed, sizes, max_bytes=max_bytes, **{"movable": names, **options})


def sizes(steps, value):
    return {name: value for step in steps for name in step.makes}


def test_one_segment_where_everything_fits():
    steps = chain(4)
    assert plan(steps, ["t1", "t3"], sizes(steps, 10), 20) == (Segment(0, 4, (), ("t1", "t3")),)


def test_cut_is_as_narrow_as_can_be():
    steps = chain(6)
    # All observed: 60 bytes. t1 and t2 are wide, t3 is narrow, so the cut comes after t3.
    num_bytes = {"t0": 2, "t1": 14, "t2": 14, "t3": 1, "t4": 14, "t5": 14}
    assert plan(steps, num_bytes, num_bytes, 46) == (
        Segment(0, 4, (), ("t0", "t1", "t2", "t3")),
        Segment(4, 6, ("t3",), ("t4", "t5")),
    )


def test_what_a_segment_holds_stays_within_the_bound():
    steps = chain(40)
    num_bytes = {f"t{i}": 3 + 7 * i % 11 for i in range(40)}
    observed = [f"t{i}" for i in range(0, 40, 2)]
    segments = plan(steps, observed, num_bytes, 40)
    assert [segment.first for segment in segments] == [0] + [segment.last for segment in segments[:-1]]
    assert segments[-1].last == 40
    assert len(segments) > 3
    assert held_bytes(segments, steps, observed, num_bytes) <= 40
    assert held_bytes(segments, steps, observed, {name: 2 * size for name, size in num_bytes.items()}) > 40
    for segment in segments:
        assert sum(num_bytes[name] for name in (*segment.takes, *segment.gives)) <= 40


def test_single_node_above_the_bound_stands_alone():
    steps = chain(3)
    segments = plan(steps, ["t1"], {"t0": 1, "t1": 100, "t2": 1}, 10)
    assert [(segment.first, segment.last) for segment in segments] == [(0, 1), (1, 2), (2, 3)]
    assert segments[1].gives == ("t1",)


def test_what_later_segments_read_is_carried_over_those_between():
    steps = [Step((), ("a",)), Step(("a",), ("b",)), Step(("b",), ("c",)), Step(("c", "a"), ("d",))]
    segments = plan(steps, ["b", "c", "d"], {"a": 1, "b": 10, "c": 10, "d": 10}, 20)
    assert segments == (
        Segment(0, 2, (), ("a", "b")),
        Segment(2, 3, ("b",), ("c",)),
        Segment(3, 4, ("c", "a"), ("d",)),
    )


def test_no_cut_where_a_tensor_may_not_cross():
    steps = chain(4)
    segments = plan(steps, ["t0", "t1", "t2", "t3"], sizes(steps, 10), 25, movable=["t0", "t2", "t3"])
    assert 2 not in [segment.last for segment in segments]


def test_weights_are_bounded_too():
    steps = chain(4, weight_bytes=6)
    segments = plan(steps, ["t3"], sizes(steps, 1), 100, max_weight_bytes=12)
    assert [(segment.first, segment.last) for segment in segments] == [(0, 2), (2, 4)]


@pytest.mark.parametrize(("max_bytes", "num_segments"), [(60, 1), (40, 2)])
def test_unknown_size_is_that_of_the_largest_tensor_read(max_bytes, num_segments):
    steps = chain(3)
    assert len(plan(steps, ["t0", "t1", "t2"], {"t0": 20}, max_bytes)) == num_segments


def test_nothing_to_run():
    assert plan([], [], {}, 10) == ()
