"""Run a network with some groups in INT8 beside itself in FP32, in several processes."""

from __future__ import annotations

import glob
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, TypeAlias

from trtforge._progress import OnProgress
from trtforge.accuracy import BootstrapConfig, evaluate
from trtforge.assignment.choose import ScoreAll
from trtforge.assignment.groups import LayerGroup
from trtforge.assignment.journal import Journal
from trtforge.assignment.score import Score
from trtforge.errors import ExecutionError
from trtforge.feeds import Arrays, Feed, Feeds
from trtforge.graph import Attention, prepare, quantize_graph
from trtforge.model import load_model
from trtforge.runtime import OnnxRunner
from trtforge.scales import Scales
from trtforge.speech import CtcDecoder

if TYPE_CHECKING:
    import onnx

# The intervals of a report are not read here; this is the fewest draws that it allows.
_FEW_DRAWS = BootstrapConfig(num_resamples=100)
# What is kept of inputs and of the outputs in FP32; the rest is made again for each choice.
_KEPT_BYTES = 512 << 20


@dataclass(frozen=True)
class ScoringTask:
    """All that a process needs to score a choice; it is sent to each once.

    Parameters
    ----------
    model : path of the float32 network.
    scales : its INT8 ranges.
    groups : what can be left out.
    feeds : what it is run on.
    exclude, attention : as for `trtforge.quantize`.
    decoder, texts, strata : how words are read, the references and the strata by clip id; None and empty
        where outputs alone are compared.
    """

    model: str
    scales: Scales
    groups: tuple[LayerGroup, ...]
    feeds: Feeds
    exclude: tuple[str, ...] = ()
    attention: Attention = "float"
    decoder: CtcDecoder | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    strata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Scorer:
    """Scores choices one after another, with one thread, so that numbers do not depend on the machine's load.

    Parameters
    ----------
    task : what is scored.
    """

    def __init__(self, task: ScoringTask) -> None:
        self.task = task
        self.network: onnx.ModelProto = prepare(load_model(task.model))
        self.feeds = _Kept(task.feeds)
        self.reference = _Recorded(OnnxRunner(self.network, num_threads=1))

    def score(self, left_out: frozenset[str]) -> Score:
        """Quantize all but some groups, run it on every feed, and compare."""
        task = self.task
        # Names are no patterns here.
        kept = [glob.escape(node) for group in task.groups if group.name in left_out for node in group.nodes]
        quantized = quantize_graph(
            self.network,
            task.scales,
            rest="float32",
            exclude=[*task.exclude, *kept],
            attention=task.attention,
        )
        self.reference.rewind()
        report = evaluate(
            {"FP32": self.reference, "INT8": OnnxRunner(quantized, num_threads=1)},
            self.feeds,
            decode=task.decoder.decode if task.decoder else None,
            references=task.texts,
            strata=task.strata,
            output_lengths=task.decoder.output_lengths if task.decoder else None,
            on_nonfinite="report",
            bootstrap=_FEW_DRAWS,
        )
        if clips := report.nonfinite.get("FP32"):
            raise ExecutionError(
                f"the network gives NaN or infinities in FP32 on {len(clips)} of {report.num_clips} clips; "
                f"the first is {clips[0]!r}",
                hint="leave these clips out: INT8 cannot be judged by them",
            )
        return Score.of_report(report)


class _Kept:
    """Feeds of which the first ones stay in memory."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds, self._kept, self._is_whole = feeds, list[Feed](), False

    @property
    def digest(self) -> str:
        return self._feeds.digest

    def __len__(self) -> int:
        return len(self._feeds)

    def __iter__(self) -> Iterator[Feed]:
        if self._is_whole:
            yield from self._kept
            return
        size, self._kept = 0, []
        for feed in self._feeds:
            size += sum(array.nbytes for array in feed.arrays.values())
            if size <= _KEPT_BYTES:
                self._kept.append(feed)
            yield feed
        self._is_whole = size <= _KEPT_BYTES


class _Recorded:
    """A runner whose first outputs are given again to the same calls in the same order."""

    def __init__(self, runner: OnnxRunner) -> None:
        self._runner, self._made, self._at, self._bytes = runner, dict[int, Any](), 0, 0

    def rewind(self) -> None:
        self._at = 0

    def __call__(self, arrays: Arrays) -> Any:
        at, self._at = self._at, self._at + 1
        if at in self._made:
            return self._made[at]
        outputs = self._runner.run(arrays)
        self._bytes += sum(array.nbytes for array in outputs.values())
        if self._bytes <= _KEPT_BYTES:
            self._made[at] = outputs
        return outputs


_Run: TypeAlias = Callable[[Sequence[frozenset[str]]], Iterable[tuple[frozenset[str], Score]]]
_scorer: Scorer | None = None


def end_with_parent() -> None:
    """End this process when the one that started it ends: killed, that one cannot tell its pool to."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _begin(task: ScoringTask) -> None:
    global _scorer
    end_with_parent()
    _scorer = Scorer(task)


def _score(left_out: frozenset[str]) -> Score:
    assert _scorer is not None  # noqa: S101 - the pool's initializer has run
    return _scorer.score(left_out)


@contextmanager
def make_scorer(
    task: ScoringTask,
    journal: Journal,
    *,
    num_processes: int = 1,
    on_progress: OnProgress | None = None,
    expected: int = 0,
) -> Iterator[ScoreAll]:
    """Score choices that the journal does not have, in several processes; each is noted once it is done.

    Parameters
    ----------
    task : what is scored.
    journal : what is known, and where the rest is noted.
    num_processes : processes side by side; 1 uses this one. With more, the program that calls this must be
        importable (``if __name__ == "__main__"``), as for `multiprocessing`.
    on_progress : called with choices scored and the number expected.
    expected : that number.

    Yields
    ------
    What `choose_assignment` scores with.

    Raises
    ------
    ExecutionError : a process was ended from outside, or the network gives NaN in FP32.
    """
    num_done = 0

    def score_all(choices: Sequence[frozenset[str]]) -> list[Score]:
        nonlocal num_done
        missing = [choice for choice in dict.fromkeys(choices) if journal.get(choice) is None]
        num_done += len(set(choices)) - len(missing)
        for choice, score in run(missing):
            journal.add(choice, score)
            num_done += 1
            if on_progress is not None:
                on_progress(num_done, max(expected, num_done))
        return [found for choice in choices if (found := journal.get(choice)) is not None]

    with _runner(task, num_processes) as run:
        yield score_all


@contextmanager
def _runner(task: ScoringTask, num_processes: int) -> Iterator[_Run]:
    """Make what scores choices and gives each back with its score, in any order."""
    if num_processes == 1:
        here: list[Scorer] = []

        def run_here(choices: Sequence[frozenset[str]]) -> Iterator[tuple[frozenset[str], Score]]:
            for choice in choices:
                if not here:
                    here.append(Scorer(task))
                yield choice, here[0].score(choice)

        yield run_here
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_processes, context, _begin, (task,))

    def run_in_pool(choices: Sequence[frozenset[str]]) -> Iterator[tuple[frozenset[str], Score]]:
        try:
            running = {pool.submit(_score, choice): choice for choice in choices}
            for future in as_completed(running):
                yield running[future], future.result()
        except BrokenProcessPool as error:
            raise ExecutionError(
                f"one of {num_processes} processes that score networks was ended from outside, perhaps for "
                "lack of memory",
                hint="use fewer processes; with a journal, the scores that are known stay known",
                settings=("num_processes",),
            ) from error

    try:
        yield run_in_pool
    finally:
        pool.shutdown(cancel_futures=True)
