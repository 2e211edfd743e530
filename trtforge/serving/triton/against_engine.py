"""Compare a configuration with the engines that it is to serve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trtforge.engine.manifest import Manifest
from trtforge.model import TensorSpec
from trtforge.serving.triton.findings import Finding
from trtforge.serving.triton.messages import DATA_TYPES, schema

_ANY = -1


def check_engine(config: Any, manifest: Manifest, file: str) -> tuple[Finding, ...]:
    """Return where a configuration contradicts an engine.

    Parameters
    ----------
    config : ``ModelConfig``, defaults filled in and rules passed.
    manifest : of the engine.
    file : the plan, for the message.
    """
    return tuple(
        Finding(rule, f"{file}: {reason}", "engine")
        for group in (
            _library(manifest),
            _tensors(config, manifest),
            _profiles(config, manifest),
            _shapes(config, manifest),
        )
        for rule, reason in group
    )


def _library(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.library != "tensorrt":
        yield (
            "library",
            f"built by {manifest.library} {manifest.library_version}, Triton loads plans of tensorrt",
        )
    if any(profile.values for profile in manifest.profiles):
        yield "shape-tensor", "an input decides shapes by its values, which is not exported"


def _tensors(config: Any, manifest: Manifest) -> Iterator[tuple[str, str]]:
    for side, tensors, specs in (
        ("input", config.input, manifest.inputs),
        ("output", config.output, manifest.outputs),
    ):
        have = {tensor.name: tensor for tensor in tensors}
        if twice := [name for name, count in Counter(each.name for each in tensors).items() if count > 1]:
            yield "repeated-tensor", f"{side} {twice[0]!r} is configured more than once"
        want = {spec.name: spec for spec in specs}
        if missing := sorted(want.keys() - have.keys()):
            yield "missing-tensor", f"{side} {missing[0]!r} of the engine is not in the configuration"
        if unknown := sorted(have.keys() - want.keys()):
            yield "unknown-tensor", f"{side} {unknown[0]!r} is configured, the engine has {sorted(want)}"
        for name in sorted(have.keys() & want.keys()):
            yield from _tensor(side, have[name], want[name], has_batch=config.max_batch_size > 0)


def _tensor(side: str, tensor: Any, spec: TensorSpec, *, has_batch: bool) -> Iterator[tuple[str, str]]:
    given = schema().DataType.Name(tensor.data_type)
    if given != DATA_TYPES.get(spec.dtype):
        yield "data-type", f"{side} {spec.name!r} is configured as {given}, the engine has {spec.dtype}"
    if tensor.is_shape_tensor:
        yield "shape-tensor", f"{side} {spec.name!r} is configured as a shape tensor, the engine has none"
    if side == "input" and tensor.optional:
        yield "optional", f"input {spec.name!r} is configured as optional, the engine needs it"
    shape = list(tensor.reshape.shape) if tensor.HasField("reshape") else list(tensor.dims)
    whole = [_ANY, *shape] if has_batch else shape
    if len(whole) != len(spec.shape):
        added = "Triton adds the batch in front" if has_batch else "max_batch_size is 0, so dims hold all"
        yield (
            "rank",
            f"{side} {spec.name!r} has dims {shape}, the engine has {list(spec.shape)}; {added}",
        )
        return
    for size, axis in zip(whole, spec.shape, strict=True):
        if isinstance(axis, int) and size != axis:
            yield (
                "fixed-axis",
                f"{side} {spec.name!r} has dims {shape}, the engine fixes {list(spec.shape)}",
            )
            return


def _profiles(config: Any, manifest: Manifest) -> Iterator[tuple[str, str]]:
    count = len(manifest.profiles)
    for group in config.instance_group:
        for index in group.profile:
            if int(index) >= max(1, count):
                yield "profile", f"profile {index} is served, the engine has {count}, counted from 0"


def _shapes(config: Any, manifest: Manifest) -> Iterator[tuple[str, str]]:
    batch = config.max_batch_size
    for index in _served(config, manifest):
        ranges = manifest.profiles[index].shapes
        for tensor in config.input:
            if tensor.name not in ranges:
                continue
            low, high = ranges[tensor.name].min, ranges[tensor.name].max
            if batch > high[0]:
                yield "max-batch-size", f"max_batch_size {batch} exceeds {high[0]} of profile {index}"
            if batch and low[0] > 1:
                yield (
                    "min-batch-size",
                    f"profile {index} takes no batch below {low[0]}, and a request may come alone",
                )
            dims = list(tensor.dims)
            bounds = list(zip(low, high, strict=True))[1 if batch else 0 :]
            for size, (least, most) in zip(dims, bounds, strict=False):
                if size != _ANY and not least <= size <= most:
                    yield (
                        "fixed-axis",
                        f"input {tensor.name!r} fixes an axis at {size}, "
                        f"profile {index} takes {least} to {most}",
                    )
    served = _served(config, manifest)
    for sample in config.model_warmup:
        given = {name: value.dims for name, value in sample.inputs.items()}
        if not _fits_some(sample.batch_size, given, manifest, served, has_batch=batch > 0):
            yield "warm-up", f"warm-up {sample.name!r} has a shape that no served profile takes"
    for number, graph in enumerate(config.optimization.cuda.graph_spec):
        given = {name: value.dim for name, value in graph.input.items()}
        if not _fits_some(graph.batch_size, given, manifest, served, has_batch=batch > 0):
            yield "graph", f"CUDA graph {number} has inputs or a shape that no served profile takes"


def _served(config: Any, manifest: Manifest) -> Sequence[int]:
    asked = {int(index) for group in config.instance_group for index in group.profile}
    known = range(len(manifest.profiles))
    # Without a list, Triton's backend serves the first profile alone.
    return [index for index in sorted(asked or {0}) if index in known]


def _fits_some(
    batch_size: int,
    dims: Mapping[str, Sequence[int]],
    manifest: Manifest,
    served: Sequence[int],
    *,
    has_batch: bool,
) -> bool:
    shapes = {name: (batch_size, *sizes) if has_batch else tuple(sizes) for name, sizes in dims.items()}
    return not served or any(shapes in manifest.profiles[index] for index in served)
