"""Find out what each layer costs in INT8, and the assignment that a budget allows."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtforge._files import json_bytes, sha256, write_together
from trtforge._optional import require
from trtforge._progress import OnProgress
from trtforge.assignment import (
    AccuracyBudget,
    Assignment,
    Frontier,
    GroupBy,
    Journal,
    Score,
    ScoringTask,
    Sensitivity,
    choose_assignment,
    find_groups,
    make_scorer,
    rank,
    time_frontier,
)
from trtforge.audio import ClipSet, Features, features_for_model
from trtforge.engine.single_build import scales_digest
from trtforge.errors import ConfigError
from trtforge.external_data import save_model
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.graph import Attention, prepare
from trtforge.model import DECODER_KEY, ModelSource, load_model, model_digest, model_metadata
from trtforge.pipeline.clips import as_clip_set
from trtforge.pipeline.engine_timing import require_timing_gpu
from trtforge.pipeline.evaluation import check_texts
from trtforge.pipeline.frontier_timing import NO_TIMING, FrontierTiming, choice_timer
from trtforge.pipeline.quantization import check_scales
from trtforge.report.frontier import draw_frontier
from trtforge.scales import Scales
from trtforge.speech import CtcDecoder

if TYPE_CHECKING:
    import onnx

FORMAT = "trtforge.search/1"
DEFAULT_BUDGET = AccuracyBudget(wer_increase=0.003, stratum_wer_increase=0.005)


@dataclass(frozen=True, repr=False)
class Search:
    """What `search` found.

    Parameters
    ----------
    assignment : the choice with the most work in INT8 that meets the budget, or a faster one that does.
    everything : score with all layers in INT8.
    sensitivity : what each group costs, in graph order.
    order : groups, those first that are better left out.
    frontier : the choices that were tried.
    """

    assignment: Assignment
    everything: Score
    sensitivity: tuple[Sensitivity, ...]
    order: tuple[str, ...]
    frontier: Frontier

    def __repr__(self) -> str:
        return f"Search({self.assignment!r}, {len(self.sensitivity)} groups)"

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain JSON values; the same search gives the same values."""
        return {
            "format": FORMAT,
            "assignment": self.assignment.to_json(),
            "everything": self.everything.to_json(),
            "sensitivity": [row.to_json() for row in self.sensitivity],
            "order": list(self.order),
            "frontier": [point.to_json() for point in self.frontier.points],
            "refined": [point.to_json() for point in self.frontier.refined],
        }

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write ``assignment.json``, ``search.json`` and ``frontier.svg``; return their paths."""
        target, record = Path(folder), self.to_json()
        files = {
            target / "assignment.json": json_bytes(record["assignment"]),
            target / "search.json": json_bytes(record),
            target / "frontier.svg": draw_frontier(record).encode(),
        }
        write_together(files)
        return list(files)


def search(
    model: ModelSource,
    scales: Scales,
    clips: ClipSet | str | os.PathLike[str] | Feeds | Sequence[Arrays],
    *,
    budget: AccuracyBudget = DEFAULT_BUDGET,
    by: GroupBy = "layer",
    exclude: Sequence[str] = (),
    attention: Attention = "float",
    features: Features | None = None,
    decoder: CtcDecoder | None = None,
    journal: str | os.PathLike[str] | None = None,
    max_points: int = 32,
    num_processes: int = 1,
    timing: FrontierTiming | None = None,
    on_progress: OnProgress | None = None,
) -> Search:
    """Measure what each layer costs in INT8, and find the assignment that a budget allows.

    Each group of layers is quantized alone, and left out alone, and both networks are run beside FP32. By the
    noise that a group adds for its share of the work (`trtforge.assignment.rank`), groups are left in
    floating point one after another; from the choice with most in INT8 that meets the budget, those come back
    that it can bear.
    What is not INT8 is FP32 here. Every network runs on one thread: the same call gives the same result on
    the same processor.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32.
    scales : its INT8 ranges.
    clips : what accuracy is judged on: a clip set or its folder, whose words are counted where it has texts
        and the network says how its output is read; or feeds, whose outputs alone are compared.
    budget : what the assignment must meet; by default 0.3 points of WER, and 0.5 in any stratum of 30 clips.
    by : ``layer``, or ``block`` for layers whose names agree up to the first number.
    exclude, attention : as for `trtforge.quantize`.
    features, decoder : how clips become input and output becomes text; by default what the network says.
    journal : JSON file that keeps scores, so that a search that was stopped goes on; None keeps none.
    max_points : most points of the frontier, 2 or more: nothing left out, and everything.
    num_processes : networks run side by side, each in a process of its own; 1 runs them in this one. With
        more, a script that calls this needs ``if __name__ == "__main__"``.
    timing : times each choice of the frontier beside FP16 on the GPU here, and lets time decide among those
        that meet the budget (`trtforge.assignment.time_frontier`); None measures no time.
    on_progress : called with networks run, and how many it will be at most.

    Raises
    ------
    ConfigError : the budget is about words, and words cannot be counted, or about strata alone, and none has
        clips enough; or the journal is of another search.
    ScalesError : the scales belong to another network.
    NoGpuError, BuildError : ``timing`` was asked for where there is no GPU, or not even FP16 can be built.
    ProfileError : ``timing`` has no profile, and the network is dynamic; or one that does not fit it.
    ExecutionError : the network gives NaN in FP32, or a process was ended from outside.
    ModelError, QuantizationError, InputError : as for `trtforge.quantize` and `trtforge.evaluate`.

    Warns
    -----
    RuntimeWarning : the budget bounds strata, and none has clips enough to be judged.

    References
    ----------
    H. Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation",
    2020, arXiv:2004.09602, section 6.1, on sensitivity by layer and partial quantization.
    """
    for setting, value, least in (("max_points", max_points, 2), ("num_processes", num_processes, 1)):
        if not isinstance(value, int) or value < least:
            raise ConfigError(
                f"{setting} must be a whole number of {least} or more, got {value!r}", settings=(setting,)
            )
    if timing is not None:
        require_timing_gpu(NO_TIMING)
    source = load_model(model)
    digest = model_digest(source)
    check_scales(scales, digest)
    prepared = prepare(source)
    feeds, texts, strata, decoder = _judged_on(source, clips, budget, features, decoder)
    _check_strata(budget, strata)
    groups = find_groups(prepared, next(iter(feeds)).arrays, by=by, exclude=exclude, attention=attention)
    key = {
        "model_sha256": digest,
        "scales_sha256": scales_digest(scales),
        "feeds_sha256": feeds.digest,
        "by": by,
        "exclude": sorted(exclude),
        "attention": attention,
        "decoder": decoder.metadata() if decoder else None,
        # The digest of clips is that of their audio.
        "texts_sha256": _texts_digest(texts, strata) if decoder else None,
        "onnxruntime": require("onnxruntime", "search").__version__,
    }
    notes = Journal(key, journal)
    time_choice = None
    if timing is not None:
        # FP16 is built before anything is scored: what cannot be built is known at once, and not after hours.
        nodes = {group.name: group.nodes for group in groups}
        time_choice = choice_timer(source, scales, nodes, timing, exclude=exclude, attention=attention)
    with tempfile.TemporaryDirectory(prefix="trtforge-") as folder:
        path = Path(folder) / "network.onnx"
        save_model(source, path)
        task = ScoringTask(
            str(path), scales, groups, feeds, tuple(exclude), attention, decoder, texts, strata
        )
        most = 2 * len(groups) + 1 + 2 * min(len(groups), max_points)
        with make_scorer(
            task, notes, num_processes=num_processes, on_progress=on_progress, expected=most
        ) as score_all:
            everything, rows = _measure(groups, score_all)
            shares = {row.group.name: row.share for row in rows}
            order = rank(rows, everything)
            frontier = choose_assignment(shares, order, budget, score_all, max_points=max_points)
    if timing is not None and time_choice is not None:
        frontier = time_frontier(frontier, time_choice, margin=timing.margin)
    left_out = set(frontier.chosen.left_out)
    assignment = Assignment(
        int8=tuple(node for group in groups if group.name not in left_out for node in group.nodes),
        keep_float=tuple(node for group in groups if group.name in left_out for node in group.nodes),
        int8_share=frontier.chosen.int8_share,
        budget=budget,
        score=frontier.chosen.score,
        model_sha256=digest,
        scales_sha256=str(key["scales_sha256"]),
        feeds_sha256=feeds.digest,
    )
    return Search(assignment, everything, rows, order, frontier)


def _measure(groups: Sequence[Any], score_all: Any) -> tuple[Score, tuple[Sensitivity, ...]]:
    """Score all groups in INT8, each alone, and each left out."""
    names = frozenset(group.name for group in groups)
    alone = [names - {group.name} for group in groups]
    left_out = [frozenset({group.name}) if len(groups) > 1 else frozenset() for group in groups]
    scores = score_all([frozenset(), *alone, *left_out])
    everything = scores[0]
    work = sum(group.macs for group in groups)
    rows = []
    for at, group in enumerate(groups):
        without = scores[1 + len(groups) + at] if len(groups) > 1 else Score.exact(everything)
        rows.append(Sensitivity(group, group.macs / work if work else 0.0, scores[1 + at], without))
    return everything, tuple(rows)


def _texts_digest(texts: Mapping[str, str], strata: Mapping[str, Mapping[str, str]]) -> str:
    """Return the SHA-256 of what was said and of the clips' strata, in whatever order they come."""
    rows = [[clip, texts[clip], sorted(strata.get(clip, {}).items())] for clip in sorted(texts)]
    return sha256(json_bytes(rows))


def _check_strata(budget: AccuracyBudget, strata: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a budget of which no bound can be broken, and warn where strata are too small to be judged."""
    sizes = Counter(entry for factors in strata.values() for entry in factors.items())
    if budget.stratum_wer_increase is None or max(sizes.values(), default=0) >= budget.min_clips:
        return
    said = f"no stratum has {budget.min_clips} clips or more, so the bound on strata judges none"
    if budget.wer_increase is None and budget.snr_db is None:
        raise ConfigError(
            said,
            hint="bound wer_increase too, or lower min_clips",
            settings=("wer_increase", "min_clips"),
        )
    warnings.warn(said, RuntimeWarning, stacklevel=3)


def _judged_on(
    source: onnx.ModelProto,
    clips: Any,
    budget: AccuracyBudget,
    features: Features | None,
    decoder: CtcDecoder | None,
) -> tuple[Feeds, dict[str, str], dict[str, Any], CtcDecoder | None]:
    """Return what networks are run on, and how words are counted if they are."""
    if not isinstance(clips, ClipSet | str | os.PathLike):
        if budget.counts_words:
            raise ConfigError(
                "the budget is about word errors, and feeds have no words",
                hint="pass a clip set with texts, or AccuracyBudget(snr_db=30)",
                settings=("budget", "clips"),
            )
        return as_feeds(clips), {}, {}, None
    chosen = as_clip_set(clips)
    feeds = chosen.feeds(features or features_for_model(source))
    if decoder is None and (budget.counts_words or DECODER_KEY in model_metadata(source)):
        decoder = CtcDecoder.for_model(source)
    texts = dict(chosen.texts())
    if budget.counts_words:
        check_texts(chosen)
    elif any(not texts.get(clip, "").strip() for clip in chosen.ids):
        decoder = None
    return feeds, texts, dict(chosen.strata()), decoder
