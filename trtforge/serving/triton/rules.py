"""The rules by which Triton takes or refuses a configuration, without what is about engines.

Each function yields the reasons of one group; they are written from what Triton documents and from what its
source checks, and are applied after `with_defaults`.

References
----------
Triton Inference Server, model configuration guide; core, ``ValidateModelConfig``, ``ValidateModelIOConfig``
and ``ValidateInstanceGroup``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from trtforge.serving.triton.findings import Finding
from trtforge.serving.triton.messages import schema

_ANY = -1


def check_rules(config: Any, folder: str) -> tuple[Finding, ...]:
    """Return what Triton would refuse.

    Parameters
    ----------
    config : ``ModelConfig``, defaults filled in.
    folder : name of the model's folder.
    """
    groups = (
        _identity(config, folder),
        _batching(config),
        _tensors(config),
        _instances(config),
        _warm_up(config),
    )
    return tuple(finding for group in groups for finding in group)


def _refused(rule: str, reason: str) -> Finding:
    return Finding(rule, reason, "triton")


def _identity(config: Any, folder: str) -> Iterator[Finding]:
    if config.name != folder:
        yield _refused("name", f"the configuration names {config.name!r}, its folder {folder!r}")
    if not config.backend:
        yield _refused("backend", f"no backend, and platform {config.platform!r} implies none")
    elif (config.backend == "tensorrt") != (config.platform == "tensorrt_plan"):
        yield _refused(
            "platform", f"platform {config.platform!r} does not go with backend {config.backend!r}"
        )
    if config.WhichOneof("scheduling_choice") == "ensemble_scheduling":
        yield _refused("scheduler", "an ensemble has no engine of its own")


def _batching(config: Any) -> Iterator[Finding]:
    if config.max_batch_size < 0:
        yield _refused("max-batch-size", f"max_batch_size is {config.max_batch_size}, below 0")
    if not config.HasField("dynamic_batching"):
        return
    batching = config.dynamic_batching
    for size in batching.preferred_batch_size:
        if size < 1:
            yield _refused("preferred-batch-size", f"preferred batch size {size} is below 1")
        elif size > config.max_batch_size:
            yield _refused(
                "preferred-batch-size",
                f"preferred batch size {size} exceeds max_batch_size {config.max_batch_size}",
            )
    levels = batching.priority_levels
    if levels and not 1 <= batching.default_priority_level <= levels:
        yield _refused(
            "priority",
            f"default_priority_level is {batching.default_priority_level}, it must lie in 1 to {levels}",
        )
    for level in batching.priority_queue_policy if levels else ():
        if not 1 <= level <= levels:
            yield _refused("priority", f"a queue policy is for priority {level}, levels are 1 to {levels}")
    if batching.preserve_ordering:
        yield from _ordering(batching)


def _ordering(batching: Any) -> Iterator[Finding]:
    if batching.priority_levels > 1:
        yield _refused("ordering", "preserve_ordering allows one priority level, there are more")
    for policy in (batching.default_queue_policy, *batching.priority_queue_policy.values()):
        if policy.default_timeout_microseconds and policy.timeout_action == policy.DELAY:
            yield _refused("ordering", "preserve_ordering does not go with timeout_action DELAY")


def _tensors(config: Any) -> Iterator[Finding]:
    for side, tensors in (("input", config.input), ("output", config.output)):
        for tensor in tensors:
            yield from _tensor(f"{side} {tensor.name!r}", tensor, config.max_batch_size)
    for tensor in config.input:
        if tensor.format in (tensor.FORMAT_NHWC, tensor.FORMAT_NCHW) and len(tensor.dims) != 3:
            yield _refused("format", f"input {tensor.name!r} has an image's format, and not 3 dims")


def _tensor(what: str, tensor: Any, max_batch_size: int) -> Iterator[Finding]:
    if not tensor.name:
        yield _refused("tensor-name", f"{what} has no name")
    if not tensor.data_type:
        yield _refused("data-type", f"{what} has no data_type")
    if not tensor.dims:
        yield _refused("dims", f"{what} has no dims")
    for dims, name in ((tensor.dims, "dims"), (tensor.reshape.shape, "reshape")):
        if any(size < 1 and size != _ANY for size in dims):
            yield _refused(name, f"{what} has {name} {list(dims)}; each is 1 or more, or -1 for any")
    if tensor.HasField("reshape"):
        yield from _reshape(what, tensor, max_batch_size)


def _reshape(what: str, tensor: Any, max_batch_size: int) -> Iterator[Finding]:
    given, wanted = list(tensor.dims), list(tensor.reshape.shape)
    if not wanted and max_batch_size == 0:
        yield _refused("reshape", f"{what} is reshaped to a single number, which needs batching")
    elif _volumes(given) != _volumes(wanted):
        yield _refused("reshape", f"{what} has dims {given} and reshape {wanted}, which differ in size")


def _volumes(dims: Sequence[int]) -> list[int]:
    """Return the elements between any two axes of variable size."""
    volumes = [1]
    for size in dims:
        if size == _ANY:
            volumes.append(1)
        else:
            volumes[-1] *= size
    return volumes


def _instances(config: Any) -> Iterator[Finding]:
    for group in config.instance_group:
        if group.kind in (group.KIND_CPU, group.KIND_MODEL) and group.gpus:
            kind = group.Kind.Name(group.kind)
            yield _refused("instance-gpus", f"instance group {group.name!r} is {kind} and lists GPUs")
        if any(gpu < 0 for gpu in group.gpus):
            yield _refused("instance-gpus", f"instance group {group.name!r} lists GPUs {list(group.gpus)}")
        if config.backend == "tensorrt" and group.kind != group.KIND_GPU:
            yield _refused("instance-kind", f"instance group {group.name!r} must be KIND_GPU for TensorRT")
        for profile in group.profile:
            if not (profile.isascii() and profile.isdigit()):
                yield _refused(
                    "profile", f"profile {profile!r} must be a whole number from 0, written as text"
                )


def _warm_up(config: Any) -> Iterator[Finding]:
    types = {tensor.name: tensor.data_type for tensor in config.input}
    inputs = set(types)
    for sample in config.model_warmup:
        what = f"warm-up {sample.name!r}"
        most = max(1, config.max_batch_size)
        if not 1 <= sample.batch_size <= most:
            yield _refused("warm-up", f"{what} has batch_size {sample.batch_size}, not 1 to {most}")
        if inputs != set(sample.inputs):
            yield _refused("warm-up", f"{what} feeds {sorted(sample.inputs)}, the model has {sorted(inputs)}")
        for name, value in sample.inputs.items():
            if not value.data_type or not value.WhichOneof("input_data_type"):
                yield _refused("warm-up", f"{what} does not say what {name!r} is filled with")
            if value.data_type and value.data_type != types.get(name, value.data_type):
                kinds = schema().DataType.Name
                yield _refused(
                    "warm-up",
                    f"{what} gives {name!r} as {kinds(value.data_type)}, the input is {kinds(types[name])}",
                )
            if not value.dims or any(size < 1 for size in value.dims):
                yield _refused("warm-up", f"{what} has dims {list(value.dims)} for {name!r}, none may vary")
