"""Recognise a clip set with several networks or engines and count the errors of each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard

from trtforge._optional import is_installed
from trtforge._progress import OnProgress
from trtforge.accuracy import AccuracyReport, Runner
from trtforge.accuracy import evaluate as evaluate_runners
from trtforge.audio import ClipSet, Features, features_for_model
from trtforge.engine import Engine
from trtforge.errors import ConfigError
from trtforge.model import ModelSource, load_model, model_digest
from trtforge.nvidia import gpus
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline.clips import as_clip_set
from trtforge.runtime import OnnxRunner, Session
from trtforge.speech import CtcDecoder

if TYPE_CHECKING:
    import onnx

Contender: TypeAlias = "ModelSource | Engine | Runner | Session | OnnxRunner"

ENGINE_SUFFIX = ".engine"


def evaluate(
    contenders: Mapping[str, Contender],
    clips: ClipSet | str | os.PathLike[str],
    *,
    features: Features | None = None,
    decoder: CtcDecoder | None = None,
    on_nonfinite: Literal["raise", "report"] = "raise",
    on_progress: OnProgress | None = None,
) -> AccuracyReport:
    """Recognise every clip with every contender and count errors overall and by stratum.

    Parameters
    ----------
    contenders : name to network (path or in memory; run by ONNX Runtime on the CPU), to engine (path ending
        in ``.engine``, or an `Engine`; run on the GPU), or to anything that can be called with named arrays,
        such as an open `Session`. The first is the reference and must be a network unless ``features`` and
        ``decoder`` are given.
    clips : what they are run on, or the folder of a set; clips without a text are refused.
    features : how input is made; by default what the reference says in its metadata.
    decoder : how output is read; by default what the reference says in its metadata.
    on_nonfinite : ``raise``, or ``report`` to list clips with NaN or infinite outputs and go on.
    on_progress : called with clips done and clips in all.

    Raises
    ------
    ConfigError : there are no contenders, or clips without a text.
    ModelError : a network cannot be read, or does not fit the features.
    NoGpuError : an engine is among them and there is no GPU.
    """
    if not isinstance(contenders, Mapping) or not contenders:
        raise ConfigError("nothing to evaluate", hint='pass {"FP32": "model.onnx", "INT8": "model.engine"}')
    clips = as_clip_set(clips)
    check_texts(clips)
    if features is None or decoder is None:
        reference = _reference_network(contenders)
        features = features or features_for_model(reference)
        decoder = decoder or CtcDecoder.for_model(reference)
    digest = network_digest(next(iter(contenders.values())))
    with ExitStack() as stack:
        runners = {name: open_runner(contender, stack) for name, contender in contenders.items()}
        report = evaluate_runners(
            runners,
            clips.feeds(features),
            decode=decoder.decode,
            references=clips.texts(),
            strata=clips.strata(),
            output_lengths=decoder.output_lengths,
            on_nonfinite=on_nonfinite,
            on_progress=on_progress,
        )
    return replace(report, reference_sha256=digest)


def network_digest(contender: Contender) -> str:
    """Return the SHA-256 of a contender that is a network, an empty string of any other."""
    return model_digest(load_model(contender)) if _is_network(contender) else ""


def check_texts(clips: ClipSet) -> None:
    """Refuse clips whose errors cannot be counted.

    Raises
    ------
    ConfigError : a clip has no text.
    """
    texts = clips.texts()
    untold = [clip_id for clip_id in clips.ids if not texts.get(clip_id, "").strip()]
    if untold:
        raise ConfigError(
            f"{len(untold)} of {len(clips)} clips have no text to compare with, {untold[0]!r} among them",
            hint='give each line of manifest.jsonl a "text"',
        )


def can_run(engine: Engine) -> bool:
    """Say whether this machine has a GPU that the engine runs on, and what it takes to drive it."""
    made = engine.manifest
    flavor = flavor_for(made.library, made.library_version)
    return is_installed("cuda.bindings.runtime") and any(
        flavor.runs_on(gpu.compute_capability, made.compute_capabilities) for gpu in gpus()
    )


def open_runner(contender: Contender, stack: ExitStack, *, num_threads: int | None = None) -> Runner:
    """Make a contender callable; what had to be opened for it is closed with the stack.

    Parameters
    ----------
    contender : as for `evaluate`.
    stack : what closes it.
    num_threads : threads of a network in ONNX Runtime; all usable cores by default.
    """
    if isinstance(contender, Engine) or is_engine_path(contender):
        return stack.enter_context(Session(contender)).run
    if callable(contender):
        return contender
    return stack.enter_context(OnnxRunner(contender, num_threads=num_threads)).run


def is_engine_path(contender: object) -> TypeGuard[str | os.PathLike[str]]:
    """Say whether a contender is the path of an engine."""
    return isinstance(contender, str | os.PathLike) and os.fspath(contender).endswith(ENGINE_SUFFIX)


def _is_network(contender: Contender) -> TypeGuard[ModelSource]:
    return not (isinstance(contender, Engine) or is_engine_path(contender) or callable(contender))


def _reference_network(contenders: Mapping[str, Contender]) -> onnx.ModelProto:
    name, first = next(iter(contenders.items()))
    if not _is_network(first):
        raise ConfigError(
            f"the reference {name!r} is no network, and does not say how speech becomes its input",
            hint="put the ONNX network first, or pass features and decoder",
            settings=("features", "decoder"),
        )
    return load_model(first)
