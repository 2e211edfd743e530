"""INT8 is kept where measured times say so; the times here are made up, and the decisions follow by hand."""

import pytest

from trtforge.engine.race import Trial, Way, race
from trtforge.errors import BuildError, ConfigError, DeviceLostError, ExecutionError
from trtforge.ratios import Spread, sum_up

QDQ = Way("Q/DQ")
CACHE = Way("scales as a calibration cache", by_cache=True)
LEVEL = Way("Q/DQ, optimization level 1", {"optimization_level": 1})
BLOCKS = ("b0", "b1", "b2", "b3")


def rounds(median, spread=0.01):
    return [median - spread, median, median, median, median + spread]


class Bench:
    """Plays builder and timer: the time of each way, by name, or of each set of blocks in INT8."""

    def __init__(self, by_name, by_blocks=None):
        self.by_name, self.by_blocks, self.built = by_name, by_blocks or {}, []

    def __call__(self, way):
        self.built.append(way.name)
        in_int8 = tuple(block for block in BLOCKS if block not in way.float_blocks)
        found = self.by_blocks[in_int8] if way.float_blocks else self.by_name[way.name]
        if isinstance(found, str):
            raise BuildError(found)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, dict) else {"mel (8, 80, 500)": rounds(found)}


def test_int8_that_is_faster_is_kept():
    verdict = race([QDQ, CACHE], [], Bench({"Q/DQ": 0.55, CACHE.name: 0.5}))
    assert verdict.chosen.way == CACHE
    assert verdict.reason == "scales as a calibration cache takes 50 % of the time of FP16"
    assert verdict.to_json()["tried"][0] == {
        "way": "Q/DQ",
        "float_blocks": [],
        "ratio": 0.55,
        "shapes": {"mel (8, 80, 500)": [0.55, 0.55, 0.55]},
        "ends": [],
        "error": None,
    }


def test_fp16_is_kept_where_int8_loses_and_the_reason_says_so():
    verdict = race([QDQ, LEVEL], [], Bench({"Q/DQ": 1.6, LEVEL.name: 0.99}))
    assert verdict.chosen is None
    assert verdict.reason == (
        "FP16: the best of 2 engines with INT8, Q/DQ, optimization level 1, takes 99 % of its time, "
        "and 98 % or less were asked"
    )


def test_an_engine_that_does_not_run_is_noted_and_a_lost_gpu_ends_the_race():
    broken = ExecutionError("the engine did not run: no reason")
    verdict = race([QDQ, CACHE], [], Bench({"Q/DQ": broken, CACHE.name: 0.6}))
    assert verdict.chosen.way == CACHE
    assert verdict.trials[0].error == "the engine did not run: no reason"
    lost = DeviceLostError("CUDA failed to finish the work of a stream: cudaErrorIllegalAddress")
    with pytest.raises(DeviceLostError, match="cudaErrorIllegalAddress"):
        race([QDQ, CACHE], [], Bench({"Q/DQ": lost, CACHE.name: 0.6}))


def test_int8_must_not_lose_at_any_shape():
    times = {"batch 1": rounds(1.02), "batch 16": rounds(0.6)}
    verdict = race([QDQ], [], Bench({"Q/DQ": times}))
    assert verdict.chosen is None
    assert verdict.reason.endswith("takes 78 % of its time, but at batch 1 up to 102 %")


def test_where_a_profile_ends_a_small_loss_is_told_and_a_large_one_refused():
    times = {"batch 16": rounds(0.6), "batch 1": rounds(1.04), "batch 32": rounds(0.5)}
    ends = {"batch 1", "batch 32"}
    verdict = race([QDQ], [], Bench({"Q/DQ": times}), ends=ends)
    assert verdict.chosen.ratio == 0.6
    assert verdict.reason == "Q/DQ takes 60 % of the time of FP16, and 104 % at batch 1"
    assert verdict.to_json()["tried"][0]["ends"] == ["batch 1", "batch 32"]
    refused = race([QDQ], [], Bench({"Q/DQ": times}), ends=ends, most_loss=0.03)
    assert refused.chosen is None
    assert refused.reason.endswith("Q/DQ, takes 60 % of its time, but at batch 1 up to 104 %")
    with pytest.raises(ConfigError, match=r"most_loss of 0 or more"):
        race([QDQ], [], Bench({"Q/DQ": times}), most_loss=-0.1)


def test_ties_go_to_the_plainer_way_and_one_that_wins_goes_before_a_faster_one_that_does_not():
    assert race([QDQ, LEVEL], [], Bench({"Q/DQ": 0.826, LEVEL.name: 0.824})).chosen.way == QDQ
    assert race([QDQ, LEVEL], [], Bench({"Q/DQ": 0.826, LEVEL.name: 0.80})).chosen.way == LEVEL
    slow_at_one = {"batch 1": rounds(1.2), "batch 16": rounds(0.3)}
    even = {"batch 1": rounds(0.9), "batch 16": rounds(0.8)}
    verdict = race([LEVEL, QDQ], [], Bench({"Q/DQ": even, LEVEL.name: slow_at_one}))
    assert verdict.chosen.way == QDQ


def test_a_gain_within_the_spread_is_none():
    noisy = {"batch 1": [0.7, 0.8, 0.97, 1.05, 1.2]}
    assert sum_up(noisy)["batch 1"] == Spread(0.97, 0.8, 1.05)
    assert race([QDQ], [], Bench({"Q/DQ": noisy})).chosen is None


def test_a_way_that_cannot_be_built_is_noted():
    verdict = race([QDQ, LEVEL], [], Bench({"Q/DQ": "no implementation", LEVEL.name: 0.7}))
    assert verdict.chosen.way == LEVEL
    assert verdict.trials[0] == Trial(QDQ, error="no implementation")
    assert verdict.trials[0].to_json()["ratio"] is None
    none = race([QDQ], [], Bench({"Q/DQ": "no implementation"}))
    assert none.reason == "FP16: none of 1 ways to build with INT8 worked"


def test_regions_of_a_network_that_loses_as_a_whole_are_tried_by_halves():
    bench = Bench(
        {"Q/DQ": 1.4},
        {
            ("b0", "b1"): 0.8,  # the first half wins
            ("b0", "b1", "b2"): 0.7,  # a quarter of the second adds to it
            ("b0", "b1", "b2", "b3"): 1.4,
            ("b0",): 0.9,
        },
    )
    verdict = race([QDQ], BLOCKS, bench)
    # All four together were measured as a whole, and are not built again.
    assert bench.built == ["Q/DQ", "Q/DQ, INT8 in b0 to b1", "Q/DQ, INT8 in b0 to b2"]
    assert verdict.chosen.way.float_blocks == ("b3",)
    assert verdict.reason == "Q/DQ, INT8 in b0 to b2 takes 70 % of the time of FP16"


def test_regions_of_a_network_that_wins_may_go_back_to_fp16():
    times = {
        ("b2", "b3"): 0.65,
        ("b0", "b1"): 0.5,
        ("b1",): 0.55,
        ("b0",): 0.497,
        ("b0", "b1", "b2"): 0.7,
        ("b0", "b1", "b3"): 0.7,
    }
    bench = Bench({"Q/DQ": 0.6}, times)
    verdict = race([QDQ], BLOCKS, bench)
    assert verdict.chosen.way.float_blocks == ("b2", "b3")
    # 0.497 is not faster than 0.5 by the margin.
    assert "Q/DQ, INT8 in b0" in bench.built


def test_builds_are_bounded():
    bench = Bench({"Q/DQ": 1.4, LEVEL.name: 1.3}, {(block,): 1.2 for block in BLOCKS} | {
        ("b0", "b1"): 1.1, ("b2", "b3"): 1.1,
    })  # fmt: skip
    assert race([QDQ, LEVEL], BLOCKS, bench, max_builds=4).chosen is None
    assert len(bench.built) == 4
    assert bench.built[2] == "Q/DQ, optimization level 1, INT8 in b0 to b1"


def test_a_cache_is_never_built_in_part():
    bench = Bench({"Q/DQ": 1.4, CACHE.name: 0.9}, {("b2", "b3"): 1.0, ("b0", "b1"): 1.0, ("b0",): 1.0,
        ("b1",): 1.0, ("b2",): 1.0, ("b3",): 1.0, ("b1", "b2", "b3"): 1.0, ("b0", "b2", "b3"): 1.0,
        ("b0", "b1", "b3"): 1.0, ("b0", "b1", "b2"): 1.0})  # fmt: skip
    verdict = race([QDQ, CACHE], BLOCKS, bench)
    assert verdict.chosen.way == CACHE
    assert all(name.startswith("Q/DQ, INT8 in ") for name in bench.built[2:])


def test_a_race_needs_something_to_race():
    with pytest.raises(ConfigError, match=r"got 1, 0\.05, 12 and 1 ways"):
        race([QDQ], [], Bench({}), margin=1)
    with pytest.raises(ConfigError, match=r"got 0\.02, 0\.05, 12 and 0 ways"):
        race([], [], Bench({}))
