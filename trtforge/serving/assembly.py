"""Make a service of files: networks and engines loaded, workers and metrics around them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trtforge.audio import features_for_model
from trtforge.engine import Engine
from trtforge.errors import ConfigError, EngineIncompatibleError, EngineIntegrityError, ModelError
from trtforge.model import load_model
from trtforge.nvidia import gpus
from trtforge.runtime import BatchingRule, Bucket, OnnxRunner, Session, buckets_of
from trtforge.serving.admission import Limits
from trtforge.serving.gpu_watch import GpuWatch
from trtforge.serving.metrics import MetricSink, PrometheusSink
from trtforge.serving.models import ServedModel
from trtforge.serving.policy import DegradeRule
from trtforge.serving.service import Service
from trtforge.serving.tasks import Arrays, Task, Transcription
from trtforge.serving.worker import Worker
from trtforge.speech import CtcDecoder

OnLost = Callable[[], None]

# Over HTTP every request that waits holds a connection, and those must not run out before the queues do:
# batch work that waits would shut out everybody else, and probes.
LIMITS = Limits(waiting=256, batch_waiting=256)
_MORE_CONNECTIONS = 128


@dataclass(frozen=True)
class PipelineSettings:
    """One pipeline, in plain values that a child process can be given.

    Parameters
    ----------
    name : in paths and metrics.
    model, lighter : paths of a network (``.onnx``, run on the CPU) or an engine (on the GPU).
    network : path of the network that says how audio becomes input and outputs become text, where the models
        are engines; the model itself by default, arrays in and out where that says nothing.
    deadline : in seconds, of requests that bring none.
    max_batch, max_frames : largest batch and longest input of a network; engines have profiles.
    max_wait : how long a request waits for others while nothing runs, in seconds.
    num_threads : of ONNX Runtime; all cores by default.
    device : GPU of engines.
    layer_samples : one inference in so many has its layers timed, on a GPU; 0 for none.
    degrade : settings of `DegradeRule` that differ from its defaults.

    Raises
    ------
    ConfigError : a value is out of range.
    """

    name: str
    model: str
    lighter: str | None = None
    network: str | None = None
    deadline: float = 2.0
    max_batch: int = 8
    max_frames: int = 3000
    max_wait: float = 0.01
    num_threads: int | None = None
    device: int = 0
    layer_samples: int = 1000
    degrade: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        least = {"max_batch": 1, "max_frames": 1, "num_threads": 1, "device": 0, "layer_samples": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ConfigError(f"{name} must be {lowest} or more, got {value}", settings=(name,))
        if not self.deadline > 0:
            raise ConfigError(f"deadline must be positive, got {self.deadline}", settings=("deadline",))
        if not self.max_wait >= 0:
            raise ConfigError(f"max_wait must be 0 or more, got {self.max_wait}", settings=("max_wait",))


@dataclass(frozen=True)
class ServiceSettings:
    """All pipelines of a process."""

    pipelines: tuple[PipelineSettings, ...] = field(default=())

    @property
    def max_connections(self) -> int:
        """Connections to take: one for each request that may wait or run, and room for probes."""
        return len(self.pipelines) * (LIMITS.waiting + LIMITS.batch_waiting + _MORE_CONNECTIONS)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"pipelines": [vars(each) for each in self.pipelines]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServiceSettings:
        """Read what `to_json` gave."""
        return cls(tuple(PipelineSettings(**each) for each in value["pipelines"]))


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
    workers = []
    for each in pipelines:
        full = load_served(each, each.model, sink)
        lighter = load_served(each, each.lighter, sink) if each.lighter else None
        worker = Worker(
            each.name,
            full,
            lighter,
            deadline=each.deadline,
            limits=LIMITS,
            rule=DegradeRule(**{"has_lighter": lighter is not None, **each.degrade}),  # type: ignore[arg-type]
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


def load_served(settings: PipelineSettings, path: str, sink: MetricSink) -> ServedModel:
    """Load a network or an engine to be served.

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
    return ServedModel(Path(path).stem, runner, task, rule, sink=sink, layer_samples=settings.layer_samples)


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
