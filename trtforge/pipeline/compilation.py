"""All stages in one call: clips and a network in; engine, scales, Q/DQ network and report out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trtforge._files import save_or_keep
from trtforge._progress import Stages
from trtforge.accuracy import AccuracyReport
from trtforge.assignment import Assignment
from trtforge.audio import ClipSet, features_for_model
from trtforge.calibration import choose
from trtforge.calibration.collect import DEFAULT_ACTIVATION_BYTES
from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.attempts import describe_way
from trtforge.engine.narrow_types import WEIGHT_ONLY, check_library, runs_by_type, targets_of
from trtforge.engine.store import EngineStore, open_store
from trtforge.graph import Attention, KeepFloat, multiplies_activations, prepare
from trtforge.model import ModelSource, load_model, model_digest, model_inputs
from trtforge.nvidia import select
from trtforge.nvidia.options import check_options
from trtforge.pipeline.artifacts import Compilation
from trtforge.pipeline.calibration import (
    CollectOn,
    check_collect_on,
    observe,
    summarize_scales,
)
from trtforge.pipeline.clips import as_clip_set, plan_for_clips
from trtforge.pipeline.compile_request import (
    CALIBRATED,
    CompilePrecision,
    build_settings,
    check_keep_float32,
    check_request,
    checked_name,
    name_of,
    tensors_to_know,
)
from trtforge.pipeline.engine_timing import require_timing_gpu
from trtforge.pipeline.evaluation import Contender, can_run, check_texts, evaluate
from trtforge.pipeline.fastest import ONE_PRECISION, build_fastest
from trtforge.pipeline.network_form import count_layers, network_for
from trtforge.pipeline.quantization import check_has_layers
from trtforge.pipeline.range_choice import AUTO, AutoMethod, choose_ranges
from trtforge.pipeline.remarks import (
    remark_clips_in_both,
    remark_clips_outside,
    remark_engine_not_run,
    remark_only_zeros,
    remark_quiet,
)
from trtforge.pipeline.reporting import make_report
from trtforge.pipeline.smoothing import smooth as smooth_network
from trtforge.profiles import OptimizationProfile
from trtforge.report.formatting import precision_name
from trtforge.speech import CtcDecoder
from trtforge.units import format_bytes

if TYPE_CHECKING:
    import onnx
    from rich.console import Console


def compile(  # noqa: A001 - the word users look for
    model: ModelSource,
    clips: ClipSet | str | os.PathLike[str] | None = None,
    *,
    precision: CompilePrecision = "int8",
    evaluate: ClipSet | str | os.PathLike[str] | None = None,
    method: AutoMethod = AUTO,
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    keep_float: KeepFloat = "none",
    attention: Attention = "float",
    keep_float32: Sequence[str] = (),
    assignment: Assignment | None = None,
    smooth: bool = False,
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
    collect_on: CollectOn = "cpu",
    profiles: Sequence[OptimizationProfile] | None = None,
    max_batch: int = 8,
    config: BuildConfig | None = None,
    flavor: Literal["tensorrt", "tensorrt_rtx"] | None = None,
    store: EngineStore | str | os.PathLike[str] | bool | None = None,
    name: str | None = None,
    output: str | os.PathLike[str] | None = None,
    command: str | None = None,
    console: Console | None = None,
) -> Compilation:
    """Turn a speech network and representative clips into an engine, with proof of what it costs.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32, that says in its metadata how its
        input is made (``trtforge.features``) and, to be evaluated, how its output is read
        (``trtforge.decoder``).
    clips : clip set to calibrate on, or its folder; needed for ``int8`` and ``float8``. For libraries that
        run the types of the network it also tells, where activations are counted on the CPU, which tensors
        FP16 cannot hold; their makers and readers stay in FP32, and the report and the manifest name them.
    precision : ``int8``, ``float16``, ``bfloat16`` (for libraries that run the types of the network),
        ``float32``, ``float8``, ``int8_weight_only`` or ``int4_weight_only`` (`BuildConfig` says what these
        need), or ``fastest``: ``int8`` where engines timed on the GPU here say that it beats
        ``float16``, of the whole network or parts of it, else ``float16``. The manifest's option ``fastest``
        and the report then say what was tried.
    evaluate : clip set to count word errors on, or its folder; with other speakers and texts than ``clips``.
    method, percentile : how INT8 ranges are chosen, as for `calibrate`.
    exclude : names or shell patterns of nodes that stay unquantized.
    keep_float : layers at the ends that stay unquantized: ``none``, ``first``, ``last`` or ``first_last``.
    attention : ``int8`` quantizes products of two activations too.
    keep_float32 : names or shell patterns of nodes that stay in FP32 where the rest is FP16; only for
        libraries that run the types of the network (TensorRT 11, TensorRT-RTX).
    assignment : what `trtforge.search` chose for this network, as it is quantized; the layers that it keeps
        in floating point are not quantized.
    smooth : move outlier channels into weights before calibration (`trtforge.smooth`); for transformers.
    activation_bytes, collect_on : how and where activations are counted, as for `trtforge.calibrate`.
    profiles : the shapes to accept; by default one profile over the lengths of all clips given.
    max_batch : largest batch of the default profile.
    config : how to build; its precision, where set, must be ``precision``. Where TensorRT 8.6 or 10 cannot
        build the Q/DQ network, other ways are tried, the last of them the same scales as a calibration cache;
        the manifest's options ``way`` and ``tried`` then say what was done and why.
    flavor : library to build with; by default TensorRT where it and a GPU are, else TensorRT-RTX.
    store : where engines are kept and looked for before one is built, as for `trtforge.build`.
    name : short name for files and titles; by default the file's.
    output : folder to write to, once when the engine is built and again when it is evaluated; None writes
        nothing, and leaves it to `Compilation.save`.
    command : the command line behind this call, to be recorded in the report.
    console : where progress is shown; None shows nothing.

    Returns
    -------
    Everything in memory.

    Raises
    ------
    TrtforgeError : each stage's own kind; the message says what was asked, what arrived, what to do.
    """
    settings = build_settings(precision, config)
    fastest = precision == "fastest"
    check_request(
        precision,
        clips,
        evaluate,
        profiles,
        method,
        percentile,
        max_batch,
        activation_bytes,
        {
            "assignment": assignment is not None,
            "smooth": smooth,
            "keep_float": keep_float != "none",
            "attention": attention != "float",
        },
    )
    check_collect_on(collect_on)
    name = checked_name(name or name_of(model))
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
    kept = None if store is None or store is False else open_store(store)
    hits = kept.hits if kept else 0
    chosen = select(flavor)
    check_options(chosen, settings.asked())
    check_library(precision, chosen)
    if settings.strongly_typed or runs_by_type(precision):
        chosen = chosen.strongly_typed()
    chosen.check_can_build()
    targets_of(precision, chosen, settings)
    if fastest:
        require_timing_gpu(ONE_PRECISION)
    check_keep_float32(keep_float32, precision, chosen)
    stages = Stages(console)
    with stages.stage("load") as stage:
        source = load_model(model)
        features = features_for_model(source)
        if evaluate is not None:
            CtcDecoder.for_model(source)
        calibration_set = None if clips is None else as_clip_set(clips)
        test_set = None if evaluate is None else as_clip_set(evaluate)
        if test_set is not None:
            check_texts(test_set)
        stage.note(_count_clips(calibration_set, test_set))
    original = source
    if smooth:
        assert calibration_set is not None  # noqa: S101 - narrows the type; the request was checked
        with stages.stage("smooth") as stage:
            smoothed = smooth_network(
                source,
                calibration_set.feeds(features),
                exclude=exclude,
                activation_bytes=activation_bytes,
                on_progress=stage,
            )
            stage.note(repr(smoothed))
        source = smoothed.model
    if assignment is not None:
        exclude = [*exclude, *assignment.exclude_for(model_digest(source))]
    check_has_layers(
        source,
        precision,
        exclude=exclude,
        keep_float=keep_float,
        block_size=settings.weight_block_size,
    )
    scales, complete, observations = None, None, None
    remarks: list[str] = []
    # A calibration cache cannot leave layers in floating point.
    is_whole = not exclude and keep_float == "none"
    # A complete cache would quantize products of activations too.
    for_cache = fastest and is_whole and not multiplies_activations(prepare(source))
    observed = tensors_to_know(precision, chosen, collect_on, for_cache=for_cache)
    if observed is not None and calibration_set is not None:
        with stages.stage("calibrate" if precision in CALIBRATED else "observe") as stage:
            feeds = calibration_set.feeds(features)
            observations = observe(
                source,
                feeds,
                exclude=exclude,
                attention=attention,
                activation_bytes=activation_bytes,
                collect_on=collect_on,
                tensors=observed,
                on_progress=stage,
            )
            if precision in CALIBRATED:
                # What INT8 does to the output says nothing of FP8.
                ranges = choose_ranges(
                    observations,
                    source,
                    feeds,
                    method="entropy" if precision == "float8" and method == AUTO else method,
                    percentile=percentile,
                    exclude=exclude,
                    attention=attention,
                )
                scales = ranges.scales
                remarks += ranges.remarks
                if observed == "cache":
                    complete = choose(observations, scales.method, percentile=percentile)
            stage.note(summarize_scales(scales) if scales else repr(observations))
        remarks += remark_quiet(feeds.quiet, len(feeds))
    if not fastest:
        with stages.stage("quantize" if scales or precision in WEIGHT_ONLY else "prepare") as stage:
            network = network_for(
                source, scales, observations, settings, chosen, exclude, keep_float, attention, keep_float32
            )
            stage.note(count_layers(network))
    if profiles is None:
        sets = [clips for clips in (calibration_set, test_set) if clips is not None]
        profiles = plan_for_clips(source, features, sets, max_batch=max_batch)
    with stages.stage("build") as stage:
        if fastest:
            assert scales is not None  # noqa: S101 - narrows the type; clips were given
            won = build_fastest(
                source,
                scales,
                profiles=profiles,
                flavor=chosen,
                config=settings,
                exclude=exclude,
                keep_float=keep_float,
                attention=attention,
                keep_float32=keep_float32,
                observations=observations if chosen.strongly_typed_only else None,
                cache_scales=complete,
                on_progress=stage,
                build_engine=partial(build, store=kept),
            )
            engine, network = won.engine, won.network
        else:
            engine = build(
                network,
                profiles=profiles,
                config=settings,
                flavor=chosen,
                scales=scales,
                store=kept,
                unquantized=prepare(source) if precision == "int8" and is_whole else None,
                on_progress=stage,
            )
        stage.note(_describe_engine(engine) + (", from the store" if kept and kept.hits > hits else ""))
    report = partial(
        make_report,
        name=name,
        source=original,
        network=network,
        scales=scales,
        observations=observations,
        engine=engine,
        seconds=stages.seconds,
        command=command,
    )
    remarks += remark_only_zeros(scales)
    first = report(accuracy=None, remarks=remarks)
    made = Compilation(name, engine, network, scales, observations, None, first)
    if output is not None:
        save_or_keep(made.save, output)
    if test_set is None:
        return made
    with stages.stage("evaluate") as stage:
        accuracy = _evaluate(original, network, engine, engine.manifest.precision, test_set, stage)
        stage.note(_summarize(accuracy))
    remarks += remark_engine_not_run(accuracy)
    remarks += remark_quiet(accuracy.quiet, accuracy.num_clips, "evaluated")
    remarks += remark_clips_in_both(calibration_set, test_set)
    remarks += remark_clips_outside(test_set, features, model_inputs(source), profiles)
    made = replace(made, accuracy=accuracy, report=report(accuracy=accuracy, remarks=remarks))
    if output is not None:
        save_or_keep(made.save, output)
    return made


def _count_clips(calibration_set: ClipSet | None, test_set: ClipSet | None) -> str:
    parts = []
    for clips, purpose in ((calibration_set, "calibrate on"), (test_set, "evaluate on")):
        if clips is not None:
            left_out = f" ({len(clips.rejected)} left out)" if clips.rejected else ""
            parts.append(f"{len(clips)} clips to {purpose}{left_out}")
    return ", ".join(parts)


def _describe_engine(engine: Engine) -> str:
    made = engine.manifest
    text = f"{made.library} {made.library_version}, {format_bytes(len(engine.plan))}"
    if made.proof and made.proof.layers:
        text += f", {made.proof}"
    if story := made.options.get("fastest"):
        text += f"; {story['reason']}"
    way = describe_way(made)
    return f"{text}; {way}" if way else text


def _evaluate(
    source: onnx.ModelProto,
    network: onnx.ModelProto,
    engine: Engine,
    precision: str,
    clips: ClipSet,
    on_progress: Any,
) -> AccuracyReport:
    contenders: dict[str, Contender] = {"FP32": source}
    if precision != "float32":
        contenders[precision_name(precision)] = network
    if can_run(engine):
        contenders[f"{precision_name(precision)} engine"] = engine
    return evaluate(contenders, clips, on_progress=on_progress)


def _summarize(accuracy: AccuracyReport) -> str:
    assert accuracy.overall is not None  # noqa: S101 - clips with texts were decoded
    rates = [f"{name} {100 * found.wer.rate:.2f} %" for name, found in accuracy.overall.runners.items()]
    return "word error rate " + ", ".join(rates)
