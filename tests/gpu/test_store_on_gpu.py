"""Engines of the real library come back from the store, and run as before."""

import numpy as np
import pytest

from tests.engine.networks import PROFILE, conv_net
from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig, EngineStore, build
from trtforge.runtime import Session

_REASON = why_not()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


def test_a_stored_engine_runs_as_the_built_one(tmp_path):
    given = {"profiles": [PROFILE], "flavor": "tensorrt"}
    store = EngineStore(tmp_path)
    built = build(conv_net(), store=store, **given)
    again = build(conv_net(), store=store, **given)
    assert (store.builds, store.hits) == (1, 1)
    assert again == built
    assert again.manifest.build_key is not None
    arrays = {"mel": np.random.default_rng(0).uniform(-4, 4, (2, 4, 40)).astype(np.float32)}
    with Session(built) as session:
        before = session.run(arrays)["logits"]
    with Session(again) as session:
        np.testing.assert_array_equal(session.run(arrays)["logits"], before)
    with Session(store.path(built.manifest.build_key)) as session:
        np.testing.assert_array_equal(session.run(arrays)["logits"], before)
    assert store.verify() == {}
    build(conv_net(), store=store, config=BuildConfig(precision="float16"), **given)
    assert (store.builds, len(store.entries())) == (2, 2)
