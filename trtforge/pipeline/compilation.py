"""All stages in one call: clips and a network in; engine, scales, Q/DQ network and report out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from trtforge._files import write_bytes, write_json, write_text
from trtforge._progress import Stages
from trtforge.accuracy import AccuracyReport
from trtforge.audio import ClipSet, Features, features_for_model
from trtforge.calibration import Method, Observations, choose
from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.config import Precision
from trtforge.errors import ClipSetError, ConfigError
from trtforge.graph import describe, prepare, to_float16
from trtforge.model import ModelSource, load_model, model_inputs
from trtforge.nvidia import Flavor, select
from trtforge.pipeline.evaluation import Contender, can_run, evaluate
from trtforge.pipeline.quantization import observe, quantize
from trtforge.pipeline.reporting import make_report
from trtforge.profiles import OptimizationProfile, plan_profiles
from trtforge.report import render_html
from trtforge.scales import Scales
from trtforge.speech import CtcDecoder
from trtforge.units import format_bytes

if TYPE_CHECKING:
    import onnx
    from rich.console import Console

LABELS = {"int8": "INT8", "float16": "FP16", "float32": "FP32"}


@dataclass(frozen=True, repr=False)
class Compilation:
    """What `compile` made, all of it in memory.

    Parameters
    ----------
    name : short name, used for the files.
    engine : the built engine.
    model : the network that it was built from: Q/DQ for INT8, typed otherwise.
    scales : the INT8 ranges; None where nothing was quantized.
    observations : the histograms behind them; None likewise.
    accuracy : what evaluation found; None where no clips were given for it.
    report : everything about the run as plain JSON values.
    """

    name: str
    engine: Engine
    model: onnx.ModelProto
    scales: Scales | None
    observations: Observations | None
    accuracy: AccuracyReport | None
    report: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Compilation({self.name!r}, {self.engine}, {self.accuracy!r})"

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write engine, manifest, network, scales, observations and report into ``folder``.

        Each file is replaced whole or not at all. Returns the folder.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        write_bytes(
            target / f"{self.name}.{self.engine.manifest.precision}.onnx", self.model.SerializeToString()
        )
        if self.scales is not None:
            self.scales.save(target / "scales.json")
        if self.observations is not None:
            self.observations.save(target / "observations.npz")
        self.engine.save(target / f"{self.name}.engine")
        write_json(target / "report.json", self.report)
        write_text(target / "report.html", render_html(self.report))
        return target


def compile(  # noqa: A001 - the word users look for
    model: ModelSource,
    clips: ClipSet | str | os.PathLike[str] | None = None,
    *,
    precision: Precision = "int8",
    evaluate: ClipSet | str | os.PathLike[str] | None = None,
    method: Method = "entropy",
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    profiles: Sequence[OptimizationProfile] | None = None,
    max_batch: int = 8,
    config: BuildConfig | None = None,
    flavor: Literal["tensorrt", "tensorrt_rtx"] | None = None,
    name: str | None = None,
    command: str | None = None,
    console: Console | None = None,
) -> Compilation:
    """Turn a speech network and representative clips into an engine, with proof of what it costs.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32, that says in its metadata how its
        input is made (``trtforge.features``) and, to be evaluated, how its output is read
        (``trtforge.decoder``).
    clips : clip set to calibrate on, or its folder; needed for ``int8``.
    precision : ``int8``, ``float16`` or ``float32``.
    evaluate : clip set to count word errors on, or its folder; with other speakers and texts than ``clips``.
    method, percentile : how INT8 ranges are chosen, as for `calibrate`.
    exclude : names or shell patterns of nodes that stay unquantized.
    profiles : the shapes to accept; by default one profile over the lengths of all clips given.
    max_batch : largest batch of the default profile.
    config : how to build; its precision, if any, must be ``precision``.
    flavor : library to build with; by default TensorRT where it and a GPU are, else TensorRT-RTX.
    name : short name for files and titles; by default the file's.
    command : the command line behind this call, to be recorded in the report.
    console : where progress is shown; None shows nothing.

    Returns
    -------
    Everything in memory; `Compilation.save` writes it.

    Raises
    ------
    TrtforgeError : each stage's own kind; the message says what was asked, what arrived, what to do.
    """
    _check_request(precision, clips, evaluate, profiles)
    chosen = select(flavor)
    chosen.check_can_build()
    stages = Stages(console)
    name = name or _name_of(model)
    with stages.stage("load") as stage:
        source = load_model(model)
        features = features_for_model(source)
        if evaluate is not None:
            CtcDecoder.for_model(source)
        calibration_set, test_set = _load_clips(clips), _load_clips(evaluate)
        stage.note(_count_clips(calibration_set, test_set))
    scales, observations = None, None
    if precision == "int8" and calibration_set is not None:
        with stages.stage("calibrate") as stage:
            feeds = calibration_set.feeds(features)
            observations = observe(source, feeds, exclude=exclude, on_progress=stage)
            observations = replace(
                observations, rejected={**calibration_set.rejected, **observations.rejected}
            )
            scales = choose(observations, method, percentile=percentile)
            stage.note(f"{len(scales)} tensors on {scales.num_clips} clips, {method}")
    with stages.stage("quantize" if scales else "prepare") as stage:
        network = _network_for(source, scales, precision, chosen, exclude)
        stage.note(
            ", ".join(f"{n} layers {LABELS.get(kind, kind)}" for kind, n in describe(network).counts.items())
        )
    if profiles is None:
        profiles = _plan(source, features, max_batch, calibration_set, test_set)
    with stages.stage("build") as stage:
        settings = replace(config or BuildConfig(), precision=precision)
        engine = build(network, profiles=profiles, config=settings, flavor=chosen, scales=scales)
        stage.note(
            f"{engine.manifest.library} {engine.manifest.library_version}, {format_bytes(len(engine.plan))}"
        )
    accuracy = None
    if test_set is not None:
        with stages.stage("evaluate") as stage:
            accuracy = _evaluate(source, network, engine, precision, test_set, stage)
            stage.note(_summarize(accuracy))
    report = make_report(
        name=name,
        source=source,
        network=network,
        scales=scales,
        observations=observations,
        engine=engine,
        accuracy=accuracy,
        seconds=stages.seconds,
        command=command,
    )
    return Compilation(name, engine, network, scales, observations, accuracy, report)


def _check_request(
    precision: str, clips: object, test_clips: object, profiles: Sequence[OptimizationProfile] | None
) -> None:
    if precision not in get_args(Precision):
        raise ConfigError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}")
    if precision == "int8" and clips is None:
        raise ConfigError(
            "int8 needs clips to calibrate on, and none were given",
            hint="pass a clip set that sounds like the audio you expect, or ask for float16",
        )
    if clips is None and test_clips is None and not profiles:
        raise ConfigError("without clips the lengths to build for are unknown", hint="pass profiles")


def _name_of(model: ModelSource) -> str:
    return Path(model).stem if isinstance(model, str | os.PathLike) else model.graph.name or "model"


def _load_clips(source: ClipSet | str | os.PathLike[str] | None) -> ClipSet | None:
    return source if source is None or isinstance(source, ClipSet) else ClipSet.load(source)


def _count_clips(calibration_set: ClipSet | None, test_set: ClipSet | None) -> str:
    parts = []
    for clips, purpose in ((calibration_set, "calibrate on"), (test_set, "evaluate on")):
        if clips is not None:
            left_out = f" ({len(clips.rejected)} left out)" if clips.rejected else ""
            parts.append(f"{len(clips)} clips to {purpose}{left_out}")
    return ", ".join(parts)


def _network_for(
    source: onnx.ModelProto, scales: Scales | None, precision: str, flavor: Flavor, exclude: Sequence[str]
) -> onnx.ModelProto:
    """Write the network in the form that the library wants for this precision."""
    if scales is not None:
        rest: Literal["float16", "float32"] = "float16" if flavor.strongly_typed_only else "float32"
        return quantize(source, scales, rest=rest, exclude=exclude)
    if precision == "float16" and flavor.strongly_typed_only:
        return to_float16(prepare(source))
    return prepare(source)


def _plan(
    source: onnx.ModelProto, features: Features, max_batch: int, *sets: ClipSet | None
) -> tuple[OptimizationProfile, ...]:
    durations = [duration for clips in sets if clips is not None for duration in clips.durations()]
    if not durations:
        raise ClipSetError("no clip is left whose length could be planned for")
    frames = [features.num_frames(int(duration * features.sampling_rate)) for duration in durations]
    return plan_profiles(model_inputs(source), frames, max_batch=max_batch, multiple_of=8)


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
        contenders[LABELS[precision]] = network
    if can_run(engine):
        contenders[f"{LABELS[precision]} engine"] = engine
    return evaluate(contenders, clips, on_progress=on_progress)


def _summarize(accuracy: AccuracyReport) -> str:
    assert accuracy.overall is not None  # noqa: S101 - clips with texts were decoded
    rates = [f"{name} {100 * found.wer.rate:.2f} %" for name, found in accuracy.overall.runners.items()]
    return "word error rate " + ", ".join(rates)
