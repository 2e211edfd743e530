"""Write the configuration of a model from the manifests of its engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trtforge.engine.manifest import Manifest
from trtforge.errors import ConfigError
from trtforge.model import TensorSpec
from trtforge.serving.triton.batching import profile_indices, served_batch
from trtforge.serving.triton.messages import DATA_TYPES, schema
from trtforge.serving.triton.settings import TritonSettings

DEFAULT_PLAN = "model.plan"


def make_config(name: str, plans: Mapping[str, Manifest], settings: TritonSettings) -> Any:
    """Return the ``ModelConfig`` message for engines of one network.

    Parameters
    ----------
    name : the model's name.
    plans : file name of each plan to its manifest; all take and give the same tensors in the same profiles.
    settings : how it is to be served.

    Raises
    ------
    ConfigError : a setting does not fit the engines, or a tensor is of a type that Triton has no name for.
    """
    manifest = next(iter(plans.values()))
    batch = served_batch(manifest, settings)
    config = schema().ModelConfig(
        name=name,
        platform="tensorrt_plan",
        backend="tensorrt",
        max_batch_size=batch,
        default_model_filename=DEFAULT_PLAN if DEFAULT_PLAN in plans else next(iter(plans)),
    )
    for file, made in plans.items():
        for capability in made.compute_capabilities:
            if not capability.endswith("+"):
                config.cc_model_filenames[capability] = file
    config.version_policy.latest.num_versions = settings.num_versions
    for side, specs in (("input", manifest.inputs), ("output", manifest.outputs)):
        for spec in specs:
            _add_tensor(getattr(config, side), spec, has_batch=batch > 0)
    group = config.instance_group.add(count=settings.instances, kind="KIND_GPU", gpus=settings.gpus)
    group.profile.extend(map(str, profile_indices(manifest, settings)))
    if batch:
        _set_dynamic_batching(config.dynamic_batching, batch, settings)
    _add_warm_up(config, manifest, batch, settings)
    return config


def _add_tensor(side: Any, spec: TensorSpec, *, has_batch: bool) -> None:
    if spec.dtype not in DATA_TYPES:
        raise ConfigError(f"{spec} is of a type that Triton cannot serve; it serves {', '.join(DATA_TYPES)}")
    shape = spec.shape[1:] if has_batch else spec.shape
    dims = [size if isinstance(size, int) else -1 for size in shape]
    if dims:
        side.add(name=spec.name, data_type=DATA_TYPES[spec.dtype], dims=dims)
    else:
        # A row without axes is one number, which Triton writes as [1] and gives the engine as [].
        side.add(name=spec.name, data_type=DATA_TYPES[spec.dtype], dims=[1]).reshape.SetInParent()


def _set_dynamic_batching(batching: Any, batch: int, settings: TritonSettings) -> None:
    batching.preferred_batch_size.extend(settings.preferred_batch_sizes or (batch,))
    batching.max_queue_delay_microseconds = settings.max_queue_delay_us
    policy = batching.default_queue_policy
    policy.timeout_action = 0  # REJECT: a late answer is of no use, and DELAY would keep it in the queue
    policy.default_timeout_microseconds = settings.queue_timeout_us
    policy.allow_timeout_override = True
    policy.max_queue_size = settings.max_queue_size


def _add_warm_up(config: Any, manifest: Manifest, batch: int, settings: TritonSettings) -> None:
    for index in profile_indices(manifest, settings) or (None,):
        for size in dict.fromkeys((1, *settings.preferred_batch_sizes, batch) if batch else (1,)):
            shapes = _warm_shapes(manifest, index, has_batch=batch > 0)
            label = "fixed" if index is None else f"profile_{index}"
            sample = config.model_warmup.add(
                name=f"{label}_batch_{size}", batch_size=size, count=settings.warm_up_runs
            )
            for spec in manifest.inputs:
                value = sample.inputs[spec.name]
                value.data_type = schema().DataType.Value(DATA_TYPES[spec.dtype])
                value.dims.extend(shapes[spec.name] or (1,))
                value.zero_data = True
            if settings.cuda_graphs:
                _add_graph(config.optimization.cuda, shapes, size if batch else 0)


def _warm_shapes(manifest: Manifest, index: int | None, *, has_batch: bool) -> dict[str, Sequence[int]]:
    ranges = {} if index is None else manifest.profiles[index].shapes
    shapes: dict[str, Sequence[int]] = {}
    for spec in manifest.inputs:
        fixed = [size for size in spec.shape if isinstance(size, int)]
        shape = ranges[spec.name].opt if spec.name in ranges else fixed
        shapes[spec.name] = shape[1:] if has_batch else shape
    return shapes


def _add_graph(cuda: Any, shapes: Mapping[str, Sequence[int]], batch: int) -> None:
    """Record a graph of exactly this shape: a lower bound would run it on memory that nobody filled."""
    cuda.graphs = True
    graph = cuda.graph_spec.add(batch_size=batch)
    for name, shape in shapes.items():
        graph.input[name].dim.extend(shape)
