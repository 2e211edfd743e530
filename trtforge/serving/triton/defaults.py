"""Fill in what Triton fills in before it judges a configuration."""

from __future__ import annotations

from typing import Any

from trtforge.serving.triton.messages import schema


def with_defaults(config: Any, name: str, *, num_gpus: int | None = None) -> Any:
    """Return a copy of a configuration as Triton's own rules see it.

    Parameters
    ----------
    config : ``ModelConfig`` as written.
    name : the model's folder.
    num_gpus : GPUs of the server; None leaves lists of GPUs as they are.

    References
    ----------
    Triton Inference Server, core, ``NormalizeModelConfig`` and ``NormalizeInstanceGroup``; the model
    configuration guide of its documentation.
    """
    full = schema().ModelConfig()
    full.CopyFrom(config)
    full.name = full.name or name
    _fill_backend(full)
    if not full.HasField("version_policy"):
        full.version_policy.latest.num_versions = 1
    batching = full.dynamic_batching
    if full.HasField("dynamic_batching") and not batching.preferred_batch_size and full.max_batch_size > 0:
        batching.preferred_batch_size.append(full.max_batch_size)
    if not full.instance_group:
        full.instance_group.add(name=full.name)
    for index, group in enumerate(full.instance_group):
        group.name = group.name or f"{full.name}_{index}"
        group.count = max(1, group.count)
        if group.kind == group.KIND_AUTO:
            group.kind = group.KIND_CPU if num_gpus == 0 else group.KIND_GPU
        if group.kind == group.KIND_GPU and not group.gpus and num_gpus:
            group.gpus.extend(range(num_gpus))
    return full


def _fill_backend(config: Any) -> None:
    names_plan = config.platform == "tensorrt_plan" or config.default_model_filename == "model.plan"
    if not config.backend and names_plan:
        config.backend = "tensorrt"
    if config.backend == "tensorrt":
        config.platform = config.platform or "tensorrt_plan"
        config.default_model_filename = config.default_model_filename or "model.plan"
