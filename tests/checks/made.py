"""Reports of a pretended recogniser, made of counts."""

import numpy as np

from trtforge.accuracy import (
    AccuracyReport,
    ClipHypothesis,
    ClipOutputs,
    ClipResult,
    ErrorCounts,
    OutputMetrics,
)

NUM_WORDS = 10


def report_of(errors, snr_db=20.0, strata=None, **settings):
    """Make a report of one candidate with so many errors on each clip of ten words.

    ``strata`` holds the noise of each clip, if any.
    """
    ids = [f"clip-{index:03d}" for index in range(len(errors))]
    levels = np.broadcast_to(snr_db, len(ids))
    right = ClipHypothesis("said", ErrorCounts(hits=NUM_WORDS), ErrorCounts(hits=4))
    clips = tuple(
        ClipResult(
            clip_id,
            "said",
            {
                "reference": right,
                "int8": ClipHypothesis(
                    "heard",
                    ErrorCounts(hits=NUM_WORDS - count, substitutions=count),
                    ErrorCounts(hits=4),
                ),
            },
            {} if strata is None else {"noise": noise},
        )
        for clip_id, count, noise in zip(ids, map(int, errors), strata or ids, strict=True)
    )
    outputs = tuple(
        ClipOutputs(
            clip_id,
            {"int8": {"logits": OutputMetrics(1, 1.0, 1.0, float(10 ** (-level / 10)))}},
        )
        for clip_id, level in zip(ids, levels, strict=True)
    )
    return AccuracyReport.from_clips(
        clips,
        **{
            "runners": ("reference", "int8"),
            "num_clips": len(ids),
            "outputs": {},
            "clip_outputs": outputs,
            "feeds_sha256": "a" * 64,
            **settings,
        },
    )
