"""Count a network's activations over clips on many machines; the sum is that of one process, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from trtforge._progress import OnProgress
from trtforge.audio import ClipSet, Features
from trtforge.audio._rejection import refuse_bad_share
from trtforge.calibration import Observations, collect
from trtforge.errors import CalibrationError, ClipSetError, ConfigError
from trtforge.model import load_model, model_digest
from trtforge.serving.ray.cluster import ray_here

PURPOSE = "calibrate over many machines"

# As `trtforge.collect` allows it.
_MAX_NONFINITE_SHARE = 0.01


@dataclass(frozen=True)
class Part:
    """What one task gives back.

    Parameters
    ----------
    observations : of the clips that could be read; None where none could.
    unread : the others, by id, with the reason.
    """

    observations: Observations | None
    unread: Mapping[str, str]


def collect_on_ray(
    model: str | os.PathLike[str],
    clips: ClipSet,
    features: Features,
    tensors: Sequence[str],
    *,
    num_parts: int | None = None,
    num_threads: int = 1,
    max_bad_share: float = 0.1,
    on_progress: OnProgress | None = None,
) -> Observations:
    """Do as `trtforge.collect` does with one clip in a batch, each part of the clips in a task of its own.

    Counts are whole numbers and ranges are powers of two, so parts add up to what one process would count,
    whatever their number and order. Ray must be running, or is started on this machine.

    Parameters
    ----------
    model : the network, a path that every machine can read.
    clips : the clips; their files too.
    features : what turns samples into the network's input.
    tensors : as for `trtforge.collect`.
    num_parts : tasks; by default one for each ``num_threads`` cores of the cluster.
    num_threads : cores that Ray sets apart for each task.
    max_bad_share : share of the clips that may be unreadable, 0 to 1.
    on_progress : called with clips done and clips in all.

    Raises
    ------
    ConfigError : a setting is out of range.
    ClipSetError : too many clips cannot be read.
    CalibrationError : more than 1 % of the clips give non-finite activations, or `trtforge.collect` refuses.
    MissingExtraError : Ray is not installed.
    """
    if num_threads < 1 or (num_parts is not None and num_parts < 1) or not 0 <= max_bad_share <= 1:
        raise ConfigError(
            f"num_parts and num_threads must be 1 or more and max_bad_share 0 to 1, got {num_parts}, "
            f"{num_threads} and {max_bad_share}"
        )
    ray = ray_here(PURPOSE)
    count = num_parts or max(1, int(ray.cluster_resources().get("CPU", 1)) // num_threads)
    parts = [clips.ids[start::count] for start in range(min(count, len(clips)))]
    path, digest = str(Path(model).resolve()), model_digest(load_model(model))
    task = ray.remote(num_cpus=num_threads, max_retries=3)(_collect_part)
    given = ray.put((clips, features, tuple(tensors)))
    waiting = {task.remote(path, digest, given, part): index for index, part in enumerate(parts)}
    found: dict[int, Part] = {}
    done = 0
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        index = waiting.pop(ready)
        found[index] = ray.get(ready)
        done += len(parts[index])
        if on_progress is not None:
            on_progress(done, len(clips))
    return _merged([found[index] for index in sorted(found)], clips, features, max_bad_share)


def _merged(parts: Sequence[Part], clips: ClipSet, features: Features, max_bad_share: float) -> Observations:
    unread = {clip_id: reason for part in parts for clip_id, reason in part.unread.items()}
    refuse_bad_share(unread, len(clips), max_bad_share, clips.name)
    counted = [part.observations for part in parts if part.observations is not None]
    whole = reduce(Observations.merge, counted)
    nonfinite = whole.rejected.keys() - unread.keys() - clips.rejected.keys()
    if len(nonfinite) > _MAX_NONFINITE_SHARE * len(clips):
        first = min(nonfinite)
        raise CalibrationError(
            f"{len(nonfinite)} of {len(clips)} clips gave non-finite activations, more than the "
            f"{100 * _MAX_NONFINITE_SHARE:g} % allowed; first clip {first!r}: {whole.rejected[first]}",
            hint="look at what the network computes there, or leave these clips out",
        )
    rejected = {**clips.rejected, **unread, **{clip_id: whole.rejected[clip_id] for clip_id in nonfinite}}
    in_order = dict.fromkeys((*clips.rejected, *(clip_id for clip_id in clips.ids if clip_id in rejected)))
    return replace(
        whole,
        feeds_sha256=clips.feeds(features).digest,
        rejected={clip_id: rejected[clip_id] for clip_id in in_order},
    )


def _collect_part(path: str, digest: str, given: Any, ids: Sequence[str]) -> Part:
    clips, features, tensors = given
    model = load_model(path)
    if model_digest(model) != digest:
        raise CalibrationError(f"{path} on this machine is not the network of the job")
    feeds = clips.subset(ids).feeds(features, max_bad_share=1.0)
    try:
        observations = collect(model, feeds, tensors, max_nonfinite_share=1.0)
    except ClipSetError:  # not one of its clips can be read
        observations = None
    unread = {clip_id: reason for clip_id, reason in feeds.rejected.items() if clip_id in set(ids)}
    return Part(observations, unread)
