"""Transcribe any number of clips over all GPUs or cores that Ray has."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trtforge._optional import require
from trtforge._progress import OnProgress
from trtforge.audio import features_for_model
from trtforge.engine import load_manifest
from trtforge.errors import ConfigError, ExecutionError, NoGpuError
from trtforge.serving.ray.attempts import Attempts
from trtforge.serving.ray.cluster import ray_here
from trtforge.serving.ray.decoding import PURPOSE, decode_table, digest_files
from trtforge.serving.ray.listing import ListedClip
from trtforge.serving.ray.recognising import Recogniser
from trtforge.serving.ray.results import ResultsFile
from trtforge.serving.ray.running import RunnerSource
from trtforge.serving.ray.settings import ManySettings
from trtforge.speech import CtcDecoder

PathLike = str | os.PathLike[str]

_FILES_IN_A_TASK = 64


@dataclass(frozen=True)
class ManyReport:
    """What became of the clips.

    Parameters
    ----------
    num_clips : clips asked for.
    num_files : different audio files among them, by digest.
    num_done_before : files whose result was there already.
    num_transcribed : files transcribed now.
    errors : code to number of files that failed now.
    """

    num_clips: int
    num_files: int
    num_done_before: int
    num_transcribed: int
    errors: Mapping[str, int]

    def __str__(self) -> str:
        failed = ", ".join(f"{count} {code}" for code, count in sorted(self.errors.items())) or "none"
        return (
            f"{self.num_clips} clips in {self.num_files} files: {self.num_transcribed} transcribed, "
            f"{self.num_done_before} done before, failed: {failed}"
        )


def transcribe_many(
    clips: Sequence[ListedClip],
    model: PathLike,
    output: PathLike,
    *,
    engine: PathLike | None = None,
    settings: ManySettings | None = None,
    recogniser: type[Recogniser] = Recogniser,
    on_progress: OnProgress | None = None,
) -> ManyReport:
    """Transcribe clips with a pool of processes, and keep each result as it comes.

    A clip that cannot be read, or on which the network fails, becomes a row with an error code. A process
    that dies is started again, and its batch is tried again; a batch that takes its process with it
    ``settings.max_deaths`` times is run clip by clip, and a clip that does so alone is set aside as
    ``poisoned``. Results are kept by the SHA-256 of the audio file: a file that occurs twice is run once, and
    a job that is run again goes on where it stopped.

    Ray must be running, or is started on this machine.

    Parameters
    ----------
    clips : what `list_clips` found.
    model : the network; its metadata say how input is made and output read.
    output : folder for ``results.jsonl``.
    engine : engine of that network, to be run on GPUs; by default ONNX Runtime runs the network on the CPU.
    settings : see `ManySettings`.
    recogniser : class of the actors, where a network's output is read otherwise.
    on_progress : called with files done and files to do.

    Raises
    ------
    ConfigError : there are no clips, two have one id, the engine takes no such batch, another process
        writes to ``output``, or its results are those of another network or engine.
    ModelError, EngineIntegrityError : the network or engine cannot be read.
    NoGpuError : an engine is to be run, and the cluster has no GPU.
    ExecutionError : Ray gave up: no process could load the network, or one died too often; what was done is
        kept.
    MissingExtraError : Ray is not installed.
    """
    asked = settings or ManySettings()
    if not clips or len({clip.id for clip in clips}) < len(clips):
        raise ConfigError("no clips were given" if not clips else "two clips have the same id")
    source = RunnerSource.of(engine if engine is not None else model)
    _check_batch(source, asked.batch_size)
    kwargs = {
        "source": source,
        "features": features_for_model(model),
        "decoder": CtcDecoder.for_model(model),
        "max_deaths": asked.max_deaths,
        "num_threads": asked.num_threads,
    }
    with ResultsFile(output, source.digest) as results:
        ray = ray_here(PURPOSE)
        unread, files = _index(ray, clips)
        results.add_ids(files)
        results.append(unread)
        todo = {digest: ids for digest, ids in files.items() if digest not in results.done}
        errors = Counter(row["error_code"] for row in unread)
        done = 0
        try:
            for batch in _stream(ray, clips, todo, source, asked, kwargs, recogniser) if todo else ():
                rows = [_finished(row, todo) for row in batch]
                results.append(rows)
                errors.update(row["error_code"] for row in rows if row["error_code"])
                done += len(rows)
                if on_progress is not None:
                    on_progress(done, len(todo))
        except ray.exceptions.RayError as error:
            last = str(error).strip().splitlines()[-1]
            raise ExecutionError(
                f"Ray gave the job up after {done} of {len(todo)} files: {last}",
                hint="what was done is kept; mend the cause and run the job again",
            ) from error
    return ManyReport(
        num_clips=len(clips),
        num_files=len(files) + len(unread),
        num_done_before=len(files) - len(todo),
        num_transcribed=done + len(unread) - errors.total(),
        errors=dict(errors),
    )


def _check_batch(source: RunnerSource, batch_size: int) -> None:
    """Refuse a batch that no profile takes, which would otherwise run clip by clip without a word."""
    profiles = load_manifest(source.path).profiles if source.needs_gpu else ()
    largest = [value.max[0] for profile in profiles for value in profile.shapes.values()]
    if largest and batch_size > max(largest):
        raise ConfigError(
            f"batch_size {batch_size} exceeds what the engine's profiles accept: {max(largest)}",
            hint="take a smaller batch, or build with wider profiles",
            settings=("batch_size",),
        )


def _index(ray: Any, clips: Sequence[ListedClip]) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Return rows of what cannot be read, and of the rest each file's digest with the ids of its clips."""
    task = ray.remote(digest_files)
    parts = [clips[start : start + _FILES_IN_A_TASK] for start in range(0, len(clips), _FILES_IN_A_TASK)]
    answers = [answer for part in ray.get([task.remote(part) for part in parts]) for answer in part]
    unread, files = [], dict[str, list[str]]()
    for clip, (digest, reason) in zip(clips, answers, strict=True):
        if digest:
            files.setdefault(digest, []).append(clip.id)
        else:
            unread.append(
                {"digest": "", "ids": [clip.id], "text": "", "num_frames": 0, "error_code": "clip",
                 "error": reason, "retryable": True}
            )  # fmt: skip
    return unread, files


def _stream(
    ray: Any,
    clips: Sequence[ListedClip],
    todo: Mapping[str, Sequence[str]],
    source: RunnerSource,
    settings: ManySettings,
    kwargs: Mapping[str, Any],
    recogniser: type[Recogniser],
) -> Any:
    """Yield rows as batches are finished, in whatever order."""
    data, arrow = require("ray.data", PURPOSE), require("pyarrow", PURPOSE)
    paths = {clip.id: clip.path for clip in clips}
    items = [{"digest": digest, "id": ids[0], "path": paths[ids[0]]} for digest, ids in todo.items()]
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    # Ray takes tens of milliseconds for a task, so each gets several batches, all whole but the last.
    size = settings.task_size(len(items), int(ray.cluster_resources().get("CPU", 1)))
    blocks = [arrow.Table.from_pylist(items[first : first + size]) for first in range(0, len(items), size)]
    decoded = data.from_arrow(blocks).map_batches(
        decode_table,
        batch_size=settings.batch_size,
        batch_format="pyarrow",
        fn_kwargs={"features": kwargs["features"]},
    )
    with warnings.catch_warnings():
        # Limits on restarts have no names of their own in `map_batches` yet, and by their old way a warning.
        warnings.simplefilter("ignore", DeprecationWarning)
        recognised = decoded.map_batches(
            recogniser,
            batch_size=settings.batch_size,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(
                min_size=settings.min_actors, max_size=_most_actors(ray, source, settings)
            ),
            fn_constructor_kwargs={**kwargs, "attempts": attempts},
            num_gpus=1 if source.needs_gpu else None,
            num_cpus=None if source.needs_gpu else settings.num_threads,
            max_restarts=settings.max_restarts,
            max_task_retries=settings.max_task_retries,
        )
    for batch in recognised.iter_batches(prefetch_batches=0, batch_size=None, batch_format="pyarrow"):
        yield batch.to_pylist()


def _most_actors(ray: Any, source: RunnerSource, settings: ManySettings) -> int:
    there = ray.cluster_resources()
    if source.needs_gpu:
        if not there.get("GPU"):
            raise NoGpuError(
                "a GPU is needed to run the engine, and Ray's cluster has none",
                hint="leave engine out, and ONNX Runtime runs the network on the CPU",
                settings=("engine",),
            )
        most = int(there["GPU"])
    else:
        most = max(1, (int(there.get("CPU", 1)) - 1) // settings.num_threads)
    return max(settings.min_actors, most if settings.max_actors is None else settings.max_actors)


def _finished(row: Mapping[str, Any], todo: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        "digest": row["digest"],
        "ids": list(todo[row["digest"]]),
        "text": row["text"],
        "num_frames": int(row["num_frames"]),
        "error_code": row["error_code"],
        "error": row["error"],
        "retryable": bool(row["retryable"]),
    }
