"""Run an engine in every profile of a plan; skipped where `trtforge.nvidia` finds nothing to run it with."""

import numpy as np
import pytest

from tests.engine.networks import conv_net
from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig, build
from trtforge.errors import ProfileError
from trtforge.model import model_inputs
from trtforge.pipeline import measure_cost
from trtforge.profiles import OptimizationProfile, choose_profile, plan_buckets
from trtforge.runtime import OnnxRunner, Session

_REASON = why_not("onnxruntime")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


def test_a_session_runs_every_profile_of_a_plan_and_names_what_lies_outside():
    model = conv_net()
    plan = plan_buckets(
        [16, 24, 64, 64, 128, 200], batch_sizes=(1, 4), max_profiles=3, multiple_of=8, profile_price=0
    )
    profiles = plan.profiles(model_inputs(model))
    assert len(profiles) == 3
    engine = build(model, profiles=profiles, config=BuildConfig(precision="float32"), flavor="tensorrt")
    reference = OnnxRunner(model)
    with Session(engine) as session:
        for index, bucket in enumerate(plan.buckets):
            for rows in (1, 4):
                for frames in bucket.frames:
                    shape = (rows, 4, frames)
                    assert choose_profile(session.profiles, {"mel": shape}) == index, shape
                    mel = np.random.default_rng(frames).uniform(-4, 4, shape).astype(np.float32)
                    found, wanted = session.run({"mel": mel}), reference.run({"mel": mel})
                    for name, values in wanted.items():
                        np.testing.assert_allclose(found[name], values, atol=5e-3, err_msg=f"{name} {shape}")
        longest = plan.buckets[-1].frames[2]
        outside = np.zeros((1, 4, longest + 1), np.float32)
        with pytest.raises(ProfileError, match=f"axis 2 of input 'mel' is {longest + 1}, outside"):
            session.run({"mel": outside})


def test_a_plan_counts_in_the_milliseconds_of_an_engine():
    model = conv_net()
    profile = OptimizationProfile({"mel": ((1, 4, 16), (4, 4, 64), (4, 4, 4096))})
    engine = build(model, profiles=[profile], config=BuildConfig(precision="float32"), flavor="tensorrt")
    cost = measure_cost(engine, [16, 4096], batch_size=4)
    assert [length for length, _ in cost.points] == [16, 4096]
    assert all(ms > 0 for _, ms in cost.points)
    assert plan_buckets([16, 64, 4096], cost=cost).exact > 0
    with pytest.raises(ProfileError, match="axis 2 of input 'mel' is 5000, outside"):
        measure_cost(engine, [16, 5000])
