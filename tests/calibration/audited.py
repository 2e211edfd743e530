"""Clips whose histograms are made by hand: no network, every number known."""

import numpy as np

from trtforge.calibration import ClipObservations, Observer


def observed(clips, rejected=None, **settings):
    """Clip id to tensor to values."""
    tensors = next(iter(clips.values())).keys()
    result = ClipObservations(tensors, model_sha256="a" * 64, feeds_sha256="b" * 64, **settings)
    for clip_id, values in clips.items():
        result.add(clip_id, {name: histogram(array) for name, array in values.items()})
    result.rejected.update(rejected or {})
    return result


def histogram(values):
    observer = Observer()
    observer.observe(np.asarray(values, np.float32))
    return observer.histogram()


def two_tensors(count=24):
    """Clips of which every third is loud in tensor ``a``; tensor ``b`` is the same in all."""
    rng = np.random.default_rng(0)
    clips, strata = {}, {}
    for index in range(count):
        loud = index % 3 == 0
        clips[f"clip-{index}"] = {
            "a": rng.uniform(0, 8 if loud else 1, 4000),
            "b": np.linspace(0, 2, 4001),
        }
        strata[f"clip-{index}"] = {"level": "loud" if loud else "soft", "room": "dry" if index % 2 else "wet"}
    return clips, strata
