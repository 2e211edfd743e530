"""From a network and a calibration set to what is wrong with the set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trtforge._progress import OnProgress, Stages
from trtforge.audio import ClipSet, Features, features_for_model
from trtforge.calibration import (
    AuditReport,
    ClipObservations,
    Method,
    audit_observations,
    collect_per_clip,
    only,
    random_order,
    stratified_order,
)
from trtforge.calibration.audit import check_audit
from trtforge.calibration.collect import DEFAULT_ACTIVATION_BYTES
from trtforge.errors import ConfigError
from trtforge.graph import prepare, tensors_to_observe
from trtforge.model import ModelSource, load_model, model_digest
from trtforge.pipeline.clips import as_clip_set
from trtforge.report.formatting import plural

if TYPE_CHECKING:
    from rich.console import Console

CLEAN: Mapping[str, str] = {"noise": "none"}
"""Strata of clips that a studio could have recorded, in the vocabulary of the bundled sets."""


def observe_clips(
    model: ModelSource,
    clips: ClipSet | str | os.PathLike[str],
    *,
    features: Features | None = None,
    exclude: Sequence[str] = (),
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    on_progress: OnProgress | None = None,
) -> ClipObservations:
    """Run a network over clips once and count every tensor that INT8 would touch, each clip's apart.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32.
    clips : the clips, or the folder of a set.
    features : what turns samples into the network's input; what its metadata says by default.
    exclude : names or shell patterns of nodes that stay unquantized.
    activation_bytes : bound on the activations of one clip held at once, as for `trtforge.collect`.
    on_progress : called with clips done and clips in all.

    Raises
    ------
    ModelError, ClipSetError, InputError, CalibrationError, ConfigError : as for `trtforge.pipeline.observe`.
    """
    source = load_model(model)
    prepared = prepare(source)
    return collect_per_clip(
        prepared,
        as_clip_set(clips).feeds(features or features_for_model(source)),
        tensors_to_observe(prepared, exclude=exclude),
        activation_bytes=activation_bytes,
        model_sha256=model_digest(source),
        on_progress=on_progress,
    )


def make_orders(
    clips: ClipSet, counted: Sequence[str], *, num_seeds: int = 5, clean: Mapping[str, str] = CLEAN
) -> dict[str, list[tuple[str, ...]]]:
    """Return the orders that `audit` tries: stratified, random, and clean clips only where there are such.

    Parameters
    ----------
    clips : the set.
    counted : ids of those of its clips that were observed.
    num_seeds : orders of each kind.
    clean : strata of the clips that count as clean.

    Raises
    ------
    ConfigError : ``num_seeds`` is below 1.
    """
    _check_num_seeds(num_seeds)
    known = clips.strata()
    strata = {clip_id: known[clip_id] for clip_id in counted}
    seeds = range(num_seeds)
    orders = {
        "stratified": [stratified_order(strata, seed=seed) for seed in seeds],
        "random": [random_order(strata, seed=seed) for seed in seeds],
    }
    if any(clean.items() <= values.items() for values in strata.values()):
        orders["clean"] = [random_order(only(strata, clean), seed=seed) for seed in seeds]
    return orders


def audit(
    model: ModelSource,
    clips: ClipSet | str | os.PathLike[str],
    *,
    method: Method = "entropy",
    percentile: float = 99.99,
    features: Features | None = None,
    exclude: Sequence[str] = (),
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    num_seeds: int = 5,
    clean: Mapping[str, str] = CLEAN,
    min_clips: int = 2,
    max_change: float = 0.1,
    max_clipped_share: float = 0.001,
    console: Console | None = None,
) -> AuditReport:
    """Say what a calibration set lacks, what its scales hang on, and whether it is large enough.

    Parameters
    ----------
    model, clips, features, exclude, activation_bytes : as for `observe_clips`.
    method, percentile : how thresholds are chosen; convergence is told for every method.
    num_seeds : orders of each kind in which convergence takes the clips.
    clean : strata of the clips that count as clean.
    min_clips, max_change, max_clipped_share : as for `trtforge.calibration.audit_observations`.
    console : where progress is shown; None shows nothing.

    Raises
    ------
    ModelError, ClipSetError, InputError, CalibrationError : as for `trtforge.pipeline.observe`.
    ConfigError : a setting is out of range, or the method is unknown.
    """
    _check_num_seeds(num_seeds)
    check_audit(method, percentile, min_clips, max_change, max_clipped_share)
    chosen = as_clip_set(clips)
    stages = Stages(console)
    with stages.stage("observe") as stage:
        observed = observe_clips(
            model,
            chosen,
            features=features,
            exclude=exclude,
            activation_bytes=activation_bytes,
            on_progress=stage,
        )
        stage.note(f"{plural(len(observed.tensors), 'tensor')} on {plural(len(observed), 'clip')}")
    with stages.stage("audit") as stage:
        report = audit_observations(
            observed,
            chosen.strata(),
            method=method,
            percentile=percentile,
            orders=make_orders(chosen, observed.clip_ids, num_seeds=num_seeds, clean=clean),
            min_clips=min_clips,
            max_change=max_change,
            max_clipped_share=max_clipped_share,
        )
        stage.note(f"thresholds by {report.method}")
    return report


def _check_num_seeds(num_seeds: int) -> None:
    if num_seeds < 1:
        raise ConfigError(f"num_seeds must be at least 1, got {num_seeds}", settings=("num_seeds",))
