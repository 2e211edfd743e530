"""Times of a real network; what they are is not asserted, only what is made of them."""

import numpy as np
import onnx.parser
import pytest

from tests.bundled import MODEL
from tests.engine.networks import PROFILE, conv_net
from trtforge.engine import build
from trtforge.errors import ConfigError, ModelError, NoGpuError, ProfileError
from trtforge.nvidia import gpus
from trtforge.pipeline import lengths_to_time, measure_cost
from trtforge.profiles import plan_buckets


def test_lengths_lie_at_even_distances_between_the_ends():
    assert lengths_to_time(16, 3000, num_points=4, multiple_of=64) == [64, 1024, 2048, 3008]
    assert lengths_to_time(1, 9, num_points=6) == [8, 16]
    with pytest.raises(ConfigError, match="all lengths are 8 frames once aligned"):
        lengths_to_time(3, 5)
    with pytest.raises(ConfigError, match="got 0, 5, 6 points of multiples of 8"):
        lengths_to_time(0, 5)


def test_a_network_is_timed_at_each_length_and_plans_count_in_milliseconds():
    seen = []
    cost = measure_cost(
        MODEL, [64, 1600], num_rounds=3, num_threads=1, on_progress=lambda *at: seen.append(at)
    )
    assert [length for length, _ in cost.points] == [64, 1600]
    assert seen == [(done, 10) for done in range(1, 11)]
    short, long = cost(np.array([64, 1600]))
    assert 0 < short < long
    plan = plan_buckets([64, 100, 1600], cost=cost, multiple_of=8)
    assert plan.exact == pytest.approx(float(cost(np.array([64, 100, 1600])).sum()))


def test_whole_numbers_are_lengths_or_zeros():
    network = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (int64[batch, time] token, int64[batch] length, float[8, 4] table) => (float[batch, 4] y) {
            row = Gather (table, token)
            axes = Constant <value_ints = [1]> ()
            total = ReduceSum <keepdims = 0> (row, axes)
            divisor = Cast <to = 1> (length)
            column = Unsqueeze (divisor, axes)
            y = Div (total, column)
        }
    """)
    assert len(measure_cost(network, [10, 30], batch_size=4, num_rounds=1).points) == 2


def test_what_cannot_be_timed_is_refused():
    fixed = conv_net()
    for dim, size in zip(fixed.graph.input[0].type.tensor_type.shape.dim, (1, 4, 32), strict=True):
        dim.dim_value = size
    with pytest.raises(ProfileError, match="every input has one shape"):
        measure_cost(fixed, [16, 32])
    with pytest.raises(ProfileError, match=r"two lengths or more, each 1 or more, got \[16\]"):
        measure_cost(conv_net(), [16, 16])
    with pytest.raises(ConfigError, match="got 0 and 5"):
        measure_cost(conv_net(), [16, 32], batch_size=0)
    with pytest.raises(ModelError):
        measure_cost("no.onnx", [16, 32])


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")
def test_an_engine_needs_a_gpu(tmp_path):
    pytest.importorskip("tensorrt_rtx")
    engine = build(conv_net(), profiles=[PROFILE], flavor="tensorrt_rtx")
    engine.save(tmp_path / "net.engine")
    with pytest.raises(NoGpuError):
        measure_cost(tmp_path / "net.engine", [16, 32])
