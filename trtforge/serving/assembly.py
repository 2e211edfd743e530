"""Make a service of files: networks and engines loaded, workers and metrics around them."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trtforge.audio import features_for_model
from trtforge.engine import Engine
from trtforge.errors import ConfigError, EngineIncompatibleError, EngineIntegrityError, ModelError
from trtforge.model import load_model
from trtforge.nvidia import gpus
from trtforge.runtime import BatchingRule, Bucket, OnnxRunner, Session, buckets_of
from trtforge.serving.gpu_watch import GpuWatch
from trtforge.serving.metrics import MetricSink, PrometheusSink
from trtforge.serving.models import ServedModel
from trtforge.serving.policy import Tier
from trtforge.serving.service import Service
from trtforge.serving.settings import LIMITS, PipelineSettings, ServiceSettings
from trtforge.serving.tasks import Arrays, Task, Transcription
from trtforge.serving.worker import Worker
from trtforge.speech import CtcDecoder

OnLost = Callable[[], None]


def assemble(settings: Mapping[str, Any], on_lost: OnLost) -> Service:
    """Load everything, start all workers, and return the service.

    Parameters
    ----------
    settings : as `ServiceSettings.to_json` gives them.
    on_lost : called when a GPU is lost.

    Raises
    ------
    TrtforgeError : a model cannot be loaded or run.
    """
    pipelines = ServiceSettings.from_json(settings).pipelines
    sink = PrometheusSink()
    watch = GpuWatch(sink)
    stems = Counter(Path(path).stem for each in pipelines for path in (each.model, each.lighter) if path)

    def load(each: PipelineSettings, path: str, tier: Tier) -> ServedModel:
        stem = Path(path).stem
        name = stem if stems[stem] == 1 else f"{stem}.{each.name}.{tier.label}"
        return load_served(each, path, sink, name=name)

    workers = []
    for each in pipelines:
        full = load(each, each.model, Tier.FULL)
        lighter = load(each, each.lighter, Tier.LIGHTER) if each.lighter else None
        worker = Worker(
            each.name,
            full,
            lighter,
            deadline=each.deadline,
            limits=LIMITS,
            rule=each.rule(),
            sink=sink,
            on_lost=on_lost,
            memory_share=lambda device=each.device: watch.share(device),  # type: ignore[misc]
        )
        worker.start()
        workers.append(worker)
    _tell_versions(pipelines, workers, sink)
    return Service(workers, sink)


def load_factory(name: str) -> Callable[[Mapping[str, Any], OnLost], Service]:
    """Return the function that ``module:function`` names.

    Raises
    ------
    ConfigError : there is none.
    """
    module, _, function = name.partition(":")
    try:
        found: Callable[[Mapping[str, Any], OnLost], Service] = getattr(
            importlib.import_module(module), function
        )
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"there is no factory {name!r}: {error}", hint="name it as package.module:function"
        ) from error
    return found


def load_served(
    settings: PipelineSettings, path: str, sink: MetricSink, *, name: str | None = None
) -> ServedModel:
    """Load a network or an engine to be served, by default under the name of its file.

    Raises
    ------
    TrtforgeError : it cannot be read or run, or is of a kind that batches do not serve.
    """
    is_network = Path(path).suffix == ".onnx"
    runner: Any = (
        OnnxRunner(path, num_threads=settings.num_threads) if is_network else _open(path, settings, sink)
    )
    task = _task(settings.network or (path if is_network else None), runner)
    if is_network:
        buckets = _buckets(settings, runner, task.input_name)
    else:
        buckets = buckets_of(runner.profiles, task.input_name)
    rule = BatchingRule(buckets, max_wait=settings.max_wait)
    called = name or Path(path).stem
    return ServedModel(called, runner, task, rule, sink=sink, layer_samples=settings.layer_samples)


def _open(path: str, settings: PipelineSettings, sink: MetricSink) -> Session:
    """Load an engine, and count what came of it."""
    result = "miss"
    try:
        engine = Engine.load(path)
        result = "hit"
    except EngineIncompatibleError:
        result = "incompatible"
        raise
    except EngineIntegrityError:
        result = "corrupt"
        raise
    finally:
        sink.count("engine_cache_requests_total", result)
    return Session(engine, device=settings.device, max_contexts=2, cuda_graphs=4)


def _task(network: str | None, runner: Any) -> Task:
    if network is not None:
        try:
            features = features_for_model(network)
            return Transcription(features, CtcDecoder.for_model(network))  # type: ignore[arg-type]
        except ModelError:
            pass  # it says nothing of audio: arrays in and out
    if len(runner.inputs) != 1:
        raise ConfigError(
            f"a worker serves networks with one input, this one has {[each.name for each in runner.inputs]}",
            hint="give the others as constants of the network, or write a factory with a runner of your own",
        )
    return Arrays(runner.inputs[0].name)


def _buckets(settings: PipelineSettings, runner: OnnxRunner, input_name: str) -> tuple[Bucket, ...]:
    spec = next(each for each in runner.inputs if each.name == input_name)
    rows = spec.shape[0] if isinstance(spec.shape[0], int) else settings.max_batch
    if isinstance(spec.shape[-1], int):
        return (Bucket(spec.shape[-1], rows),)
    most = settings.max_frames
    return tuple(Bucket(frames, rows) for frames in sorted({max(1, most // 4), max(1, most // 2), most}))


def _tell_versions(pipelines: tuple[PipelineSettings, ...], workers: list[Worker], sink: MetricSink) -> None:
    runners = [model.runner for worker in workers for model in worker.models.values()]
    sessions = [runner for runner in runners if isinstance(runner, Session)]
    networks = [path for each in pipelines for path in (each.network, each.model) if path]
    opset = next(
        (str(load_model(path).opset_import[0].version) for path in networks if Path(path).suffix == ".onnx"),
        "none",
    )
    manifest = sessions[0].engine.manifest if sessions else None
    here = gpus()
    gpu = here[sessions[0].device] if sessions and here else None
    sink.info(
        "info",
        f"{manifest.library} {manifest.library_version}" if manifest else "none",
        gpu.cuda_version if gpu else "none",
        gpu.compute_capability if gpu else "none",
        gpu.driver if gpu else "none",
        opset,
    )
