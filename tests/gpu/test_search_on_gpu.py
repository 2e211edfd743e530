"""The frontier of a search with real times; skipped where there is no TensorRT to time."""

import numpy as np
import pytest

from benchmarks.native_calibrator.networks import convolution_stack
from tests.gpu.needs import why_not
from trtforge.assignment import AccuracyBudget
from trtforge.nvidia import available
from trtforge.pipeline import FrontierTiming, calibrate, search
from trtforge.profiles import OptimizationProfile

_REASON = why_not("onnxruntime")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


def test_every_choice_of_the_frontier_is_timed_and_time_decides():
    network = convolution_stack(3, 256, 9)
    feeds = [{"mel": np.random.default_rng(0).standard_normal((2, 80, 512), np.float32)}]
    scales = calibrate(network, feeds, method="max")
    profile = OptimizationProfile({"mel": ((1, 80, 512), (16, 80, 512), (16, 80, 512))})
    flavor = next(flavor for flavor in available() if flavor.name == "tensorrt")
    timing = FrontierTiming([profile], flavor)
    found = search(network, scales, feeds, budget=AccuracyBudget(snr_db=10.0), timing=timing)
    points = [*found.frontier.points, *found.frontier.refined]
    print(*((point.left_out, point.time) for point in points), sep="\n")
    assert all(point.time.error is None for point in points)
    assert found.frontier.points[-1].time.ratio == 1.0  # all in floating point is FP16 itself
    allowed = [point.time.ratio for point in points if not point.excess]
    assert found.frontier.chosen.time.ratio <= min(allowed) + timing.margin
    assert "time" in found.to_json()["frontier"][0]
