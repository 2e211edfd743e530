"""Windows and batches by length through a session on a real GPU."""

import numpy as np
import pytest

from tests.bundled import MODEL
from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig, build
from trtforge.graph import prepare, receptive_field
from trtforge.model import load_model
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import Batcher, BatchingRule, Session, buckets_of
from trtforge.speech import CtcDecoder, WindowPlan, stitch

_REASON = why_not()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

NUM_FRAMES = 6001
PROFILES = [
    OptimizationProfile({"mel": ((1, 80, 16), (4, 80, 400), (4, 80, 400))}),
    OptimizationProfile({"mel": ((1, 80, 16), (2, 80, 1000), (2, 80, 1000))}),
    OptimizationProfile({"mel": ((1, 80, 16), (1, 80, NUM_FRAMES), (1, 80, NUM_FRAMES))}),
]


@pytest.fixture(scope="module")
def session():
    # Without TF32, so that what differs is not the rounding of products.
    config = BuildConfig(precision="float32", tf32=False)
    engine = build(prepare(load_model(MODEL)), profiles=PROFILES, config=config, flavor="tensorrt")
    with Session(engine) as session:
        yield session


def test_stitched_logits_are_those_of_the_uncut_engine(session):
    mel = np.random.default_rng(0).normal(size=(80, NUM_FRAMES)).astype(np.float32)
    whole = session.run({"mel": mel[None]})["logits"][0]
    field = receptive_field(MODEL)
    plan = WindowPlan(1000, field.left, field.right, field.stride)
    blocks = np.array_split(mel, 7, axis=1)
    stitched = np.concatenate(
        list(stitch(session, blocks, plan, NUM_FRAMES, input_name="mel", output="logits", max_batch=2))
    )
    assert stitched.shape == whole.shape
    np.testing.assert_allclose(stitched, whole, atol=1e-3 * np.abs(whole).max(), rtol=0)


def test_batched_requests_give_what_they_give_alone(session):
    rng = np.random.default_rng(1)
    mels = [rng.normal(size=(80, length)).astype(np.float32) for length in rng.integers(300, 1001, 24)]
    rule = BatchingRule(buckets_of(PROFILES[:2], "mel"), max_wait=0.02)
    lengths = CtcDecoder.for_model(MODEL).output_lengths
    field = receptive_field(MODEL)
    with Batcher(session, rule, input_name="mel", output_lengths=lengths) as batcher:
        results = list(batcher.map(mels))
        counts = batcher.counts
    assert (counts["rows"], counts["rows_run_alone"]) == (24, 0)
    for mel, result in zip(mels, results, strict=True):
        alone = session.run({"mel": mel[None]})["logits"]
        assert result["logits"].shape == alone.shape
        # The last outputs see the padding.
        sure = (mel.shape[1] - 1 - field.right) // field.stride + 1
        tolerance = 1e-3 * np.abs(alone).max()
        np.testing.assert_allclose(result["logits"][:, :sure], alone[:, :sure], atol=tolerance, rtol=0)
