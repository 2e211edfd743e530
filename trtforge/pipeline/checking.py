"""Run a candidate on the clips of its baseline and say whether it got worse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context
from typing import TYPE_CHECKING

from trtforge._progress import OnProgress
from trtforge.audio import ClipSet, features_for_model
from trtforge.checks import Baseline, CheckConfig, CheckResult, Timings, judge, time_side_by_side
from trtforge.errors import ConfigError, ExecutionError
from trtforge.feeds import Arrays
from trtforge.model import load_model
from trtforge.pipeline.clips import as_clip_set
from trtforge.pipeline.evaluation import evaluate, open_runner
from trtforge.pipeline.reporting import environment

if TYPE_CHECKING:
    from trtforge.accuracy import AccuracyReport
    from trtforge.model import ModelSource
    from trtforge.pipeline.evaluation import Contender

# What a reviewer wants to know of the machine; a line that changes with every patch release is noise.
_ENVIRONMENT = (
    "machine", "processor", "gpu", "python", "tensorrt", "tensorrt_rtx", "numpy", "onnxruntime", "torch",
)  # fmt: skip
_REFERENCE = "reference"
# Clips of middling length that a round of timing runs through.
_TIMED_CLIPS = 8


def check(
    candidate: Contender | AccuracyReport,
    baseline: Baseline | str | os.PathLike[str],
    *,
    reference: ModelSource | None = None,
    clips: ClipSet | str | os.PathLike[str] | None = None,
    config: CheckConfig | None = None,
    timings: Timings | None = None,
    name: str = "candidate",
    on_progress: OnProgress | None = None,
) -> CheckResult:
    """Say whether a candidate got worse than a baseline: pass, fail, or not enough clips to tell.

    Parameters
    ----------
    candidate : network, engine or anything that can be called, as for `evaluate`; or a report of it.
    baseline : what was accepted, or the path it was saved to.
    reference : the network that outputs are held against; not needed with a report.
    clips : the clips of the baseline; not needed with a report.
    config : budgets and error rates.
    timings : of reference and candidate; without them speed is not judged.
    name : of the candidate in the result.
    on_progress : called with clips done and clips in all.

    Raises
    ------
    BaselineError : the baseline is missing, malformed, or of something else.
    ConfigError : reference or clips are missing, or clips have no text.
    """
    from trtforge.accuracy import AccuracyReport

    accepted = baseline if isinstance(baseline, Baseline) else Baseline.load(baseline)
    if isinstance(candidate, AccuracyReport):
        return judge(accepted, candidate, config, timings=timings)
    report = evaluate_candidate(
        candidate, reference=reference, clips=clips, name=name, on_progress=on_progress
    )
    return judge(accepted, report, config, timings=timings)


def measure_baseline(
    report: AccuracyReport, *, timings: Timings | None = None, measured_here: bool = True
) -> Baseline:
    """Take down a report's last runner as baseline.

    Parameters
    ----------
    report : of an evaluation.
    timings : of reference and candidate.
    measured_here : whether to note this machine and the versions that move numbers; a report does not say
        where it was made.

    Raises
    ------
    ConfigError : as `Baseline.from_report`.
    """
    facts = {key: text for key, text in environment().items() if measured_here and key in _ENVIRONMENT}
    return Baseline.from_report(report, timings=timings, environment=facts)


def evaluate_candidate(
    candidate: Contender,
    *,
    reference: ModelSource | None,
    clips: ClipSet | str | os.PathLike[str] | None,
    name: str,
    on_progress: OnProgress | None = None,
) -> AccuracyReport:
    """Evaluate a candidate beside its reference; values that are not finite are left to the check.

    Raises
    ------
    ConfigError : reference or clips are missing, clips have no text, or the candidate is called
        ``reference``.
    """
    if reference is None or clips is None:
        raise ConfigError(
            "a candidate that is no report needs reference and clips",
            hint="give the network that it was made from, and the clips of the baseline",
            settings=("reference", "clips"),
        )
    if name == _REFERENCE:
        raise ConfigError(
            f"a candidate cannot be called {name!r}, as the network is that it is held against",
            hint="call it otherwise",
            settings=("name",),
        )
    contenders: dict[str, Contender] = {_REFERENCE: reference, name: candidate}
    return evaluate(contenders, clips, on_nonfinite="report", on_progress=on_progress)


def time_candidate(
    reference: ModelSource,
    candidate: Contender,
    clips: ClipSet | str | os.PathLike[str],
    *,
    num_runs: int = 8,
    num_rounds: int = 10,
    on_progress: OnProgress | None = None,
) -> Timings:
    """Time reference and candidate in turns, in several runs, on the same 8 clips of middling length.

    Runs differ by more than their rounds do, so each begins anew. Where reference and candidate are files, a
    run is a process of its own; a candidate that is open already is timed as it is, and its runs then share
    what its process and memory have made of it. Networks run in ONNX Runtime on one thread, since two
    sessions that wait busily for their threads disturb each other. What returns before its work is done is
    not timed to its end; `Session.run` waits for the GPU.

    Parameters
    ----------
    reference, candidate, clips : as for `check`.
    num_runs : runs, each of which counts once; a check wants 8 or more.
    num_rounds : rounds in each, whose median counts.
    on_progress : called with runs done and runs in all.

    Returns
    -------
    One time of each runner for every run.

    Raises
    ------
    ConfigError : fewer than one run or round.
    ExecutionError : a run's process ended.
    """
    if num_runs < 1:
        raise ConfigError(f"num_runs must be 1 or more, got {num_runs}")
    feeds, runs = _timed_feeds(reference, clips), []
    for index in range(num_runs):
        if isinstance(reference, str | os.PathLike) and isinstance(candidate, str | os.PathLike):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                try:
                    runs.append(process.submit(_time_once, reference, candidate, feeds, num_rounds).result())
                except BrokenProcessPool as error:
                    raise ExecutionError(
                        f"the process that timed reference and candidate ended in run {index + 1}",
                        hint="see whether the memory of the machine holds both",
                    ) from error
        else:
            runs.append(_time_once(reference, candidate, feeds, num_rounds))
        if on_progress is not None:
            on_progress(index + 1, num_runs)
    return Timings.of_runs(runs)


def _timed_feeds(reference: ModelSource, clips: ClipSet | str | os.PathLike[str]) -> list[Arrays]:
    source = as_clip_set(clips)
    by_length = [clip_id for _, clip_id in sorted(zip(source.durations(), source.ids, strict=True))]
    first = max(0, (len(by_length) - _TIMED_CLIPS) // 2)
    chosen = source.subset(by_length[first : first + _TIMED_CLIPS])
    return [feed.arrays for feed in chosen.feeds(features_for_model(load_model(reference)))]


def _time_once(
    reference: ModelSource, candidate: Contender, feeds: Sequence[Arrays], num_rounds: int
) -> Timings:
    with ExitStack() as stack:
        runners = [
            open_runner(contender, stack, num_threads=1) for contender in (load_model(reference), candidate)
        ]
        calls = [lambda run=run: [run(arrays) for arrays in feeds] for run in runners]
        return time_side_by_side(*calls, num_rounds=num_rounds)
