"""Write a PyTorch module as an ONNX network."""

from __future__ import annotations

import inspect
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from trtforge._optional import require
from trtforge.errors import ConfigError, ModelError
from trtforge.model import load_model
from trtforge.profiles import OptimizationProfile

if TYPE_CHECKING:
    import onnx

# By name, or in the order of ``forward``; PyTorch tensors, or NumPy arrays.
ExampleInputs: TypeAlias = "Mapping[str, Any] | Sequence[Any]"

# What every library here reads.
_OPSET = 17


def is_module(model: object) -> bool:
    """Say whether ``model`` is a PyTorch module, without importing PyTorch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def export_module(
    module: Any,
    example_inputs: ExampleInputs | None,
    *,
    profiles: Sequence[OptimizationProfile] = (),
    output_names: Sequence[str] | None = None,
) -> onnx.ModelProto:
    """Trace a PyTorch module into an ONNX network of opset 17.

    The module is traced by PyTorch's TorchScript exporter, which needs no package beside PyTorch: branches
    that depend on values are taken as they are for the example. It is traced in evaluation mode, and is left
    as it was.

    Parameters
    ----------
    module : a ``torch.nn.Module``.
    example_inputs : one input each, PyTorch tensors or NumPy arrays: by the names of ``forward``'s
        arguments, or in their order. Where ``forward`` takes ``*inputs``, the names given name them. They
        must be on the module's device.
    profiles : shapes to accept; an axis that is not the same in all of them becomes dynamic.
    output_names : names of the results; by default ``output``, or ``output_0`` and so on.

    Raises
    ------
    MissingExtraError : PyTorch is not installed.
    ConfigError : there is no example, or it does not fit ``forward`` or the profiles.
    ModelError : PyTorch cannot export the module; the message carries its own reason.
    """
    if example_inputs is None:
        raise ConfigError(
            "a PyTorch module is traced with an example, and none was given",
            hint="pass example_inputs={'mel': torch.zeros(1, 80, 600)}, by the names of forward's arguments",
            settings=("example_inputs",),
        )
    torch = require("torch", "export a PyTorch module")
    examples = _by_name(torch, module, example_inputs)
    axes = _dynamic_axes(examples, profiles)
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with tempfile.TemporaryDirectory(prefix="trtforge-") as folder, torch.no_grad():
            path = Path(folder) / "module.onnx"
            results = _run_once(module, examples)
            names = _output_names(len(results), output_names)
            _export(torch, module, examples, path, axes | _dynamic_outputs(results, names, axes), names)
            return load_model(path)
    finally:
        for part, was in training.items():
            part.training = was


def _run_once(module: Any, examples: Mapping[str, Any]) -> list[Any]:
    """Return the results for the example; each must be a tensor."""
    told = ", ".join(f"{name} {value.dtype} {tuple(value.shape)}" for name, value in examples.items())
    try:
        results = _flat(module(*examples.values()))
    except Exception as error:  # whatever the module's own code raises
        raise ConfigError(
            f"{type(module).__name__} cannot run on example_inputs {told}: {_reason(error)}",
            hint="give every argument of forward that has no default, in the module's dtype, on its device",
            settings=("example_inputs",),
        ) from error
    kinds = sorted({type(value).__name__ for value in results if not hasattr(value, "dim")})
    if kinds or not results:
        raise ModelError(
            f"{type(module).__name__} returns {' and '.join(kinds) or 'nothing'}; networks give tensors",
            hint="wrap it in a module whose forward returns tensors",
        )
    return results


def _with_positions_alone(torch: Any, module: Any) -> Any:
    """Wrap a module whose ``forward`` has arguments by keyword alone, which the exporter would misplace."""
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY not in kinds:
        return module

    class Positional(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *inputs: Any) -> Any:
            return self.module(*inputs)

    return Positional().eval()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _export(
    torch: Any,
    module: Any,
    examples: Mapping[str, Any],
    path: Path,
    axes: Mapping[str, Mapping[int, str]],
    output_names: Sequence[str],
) -> None:
    arguments: dict[str, Any] = {
        "input_names": list(examples),
        "output_names": list(output_names),
        "dynamic_axes": axes,
        "opset_version": _OPSET,
    }
    # PyTorch 2.4 has this exporter alone; later ones ask which, and 2.9 made the other the default.
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        arguments["dynamo"] = False
    try:
        with warnings.catch_warnings():
            # That this exporter is the older one is known.
            warnings.simplefilter("ignore", DeprecationWarning)
            traced = _with_positions_alone(torch, module)
            torch.onnx.export(traced, tuple(examples.values()), str(path), **arguments)
    except Exception as error:  # PyTorch raises many kinds
        raise ModelError(
            f"PyTorch cannot export {type(module).__name__}: {_reason(error)}",
            hint="export it yourself, with torch.onnx.export, and pass the .onnx file",
        ) from error


def _by_name(torch: Any, module: Any, given: ExampleInputs) -> dict[str, Any]:
    parameters = [
        name
        for name, parameter in inspect.signature(module.forward).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if isinstance(given, Mapping) and _takes_any_number(module):
        pairs: Iterable[tuple[str, Any]] = given.items()
    elif isinstance(given, Mapping):
        # Positions decide in the exporter, so the names must be the first arguments.
        wanted = parameters[: len(given)]
        if set(given) != set(wanted):
            raise ConfigError(
                f"example_inputs names {', '.join(given)}; forward begins with {', '.join(wanted)}",
                hint="name the first arguments of forward, all that have no default",
                settings=("example_inputs",),
            )
        pairs = ((name, given[name]) for name in wanted)
    else:
        if isinstance(given, str) or not isinstance(given, Sequence | torch.Tensor):
            raise ConfigError(
                f"example_inputs must be arrays by name or in order, got {given!r}",
                settings=("example_inputs",),
            )
        values = [given] if isinstance(given, torch.Tensor) else list(given)
        if _takes_any_number(module):
            raise ConfigError(
                "forward takes *inputs, so that example_inputs must name them",
                hint="pass example_inputs={'mel': ..., 'length': ...}, in the order of forward",
                settings=("example_inputs",),
            )
        if len(values) > len(parameters):
            raise ConfigError(
                f"example_inputs has {len(values)} inputs, forward takes {len(parameters)}",
                settings=("example_inputs",),
            )
        pairs = zip(parameters, values, strict=False)
    return {name: _as_tensor(torch, name, value) for name, value in pairs}


def _as_tensor(torch: Any, name: str, value: Any) -> Any:
    try:
        return value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"example_inputs: {name!r} is no array: {_reason(error)}", settings=("example_inputs",)
        ) from error


def _takes_any_number(module: Any) -> bool:
    kinds = {parameter.kind for parameter in inspect.signature(module.forward).parameters.values()}
    return kinds == {inspect.Parameter.VAR_POSITIONAL}


def _dynamic_axes(
    examples: Mapping[str, Any], profiles: Sequence[OptimizationProfile]
) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for name in {name for profile in profiles for name in profile.shapes}:
        shapes = [
            shape
            for profile in profiles
            if name in profile.shapes
            for shape in (profile.shapes[name].min, profile.shapes[name].max)
        ]
        if name not in examples or any(len(shape) != examples[name].dim() for shape in shapes):
            raise ConfigError(
                f"a profile names input {name!r} of shape {shapes[0]}; the example has "
                f"{', '.join(f'{known} {tuple(value.shape)}' for known, value in examples.items())}",
                settings=("profiles", "example_inputs"),
            )
        axes = [axis for axis in range(len(shapes[0])) if len({shape[axis] for shape in shapes}) > 1]
        if axes:
            found[name] = {axis: "batch" if axis == 0 else f"{name}_{axis}" for axis in axes}
    return found


def _flat(results: Any) -> list[Any]:
    """Return a module's results in the order in which the exporter gives them."""
    if isinstance(results, Mapping):
        return [value for entry in results.values() for value in _flat(entry)]
    if isinstance(results, tuple | list):
        return [value for entry in results for value in _flat(entry)]
    return [] if results is None else [results]


def _output_names(count: int, given: Sequence[str] | None) -> list[str]:
    if given is None:
        return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]
    if isinstance(given, str) or len(given) != count or len(set(given)) != count:
        raise ConfigError(
            f"output_names wants {count} names, one for each result, got {given!r}",
            settings=("output_names",),
        )
    return list(given)


def _dynamic_outputs(
    results: Sequence[Any], names: Sequence[str], axes: Mapping[str, Mapping[int, str]]
) -> dict[str, dict[int, str]]:
    """Name the batch axis of each result; what else is dynamic the exporter finds by itself."""
    if not any(0 in found for found in axes.values()):
        return {}
    return {name: {0: "batch"} for name, value in zip(names, results, strict=True) if value.dim()}
