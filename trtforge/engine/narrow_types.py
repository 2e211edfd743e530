"""Types narrower than FP16 beside INT8: which libraries and GPUs have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtforge.engine.config import BuildConfig
from trtforge.errors import ConfigError
from trtforge.nvidia import Flavor

if TYPE_CHECKING:
    from trtforge.graph import WeightType

# Precision to how its weights are stored.
WEIGHT_ONLY: dict[str, WeightType] = {"int8_weight_only": "int8", "int4_weight_only": "int4"}


@dataclass(frozen=True)
class _Need:
    """What a precision needs: an ONNX type, an opset, and the least compute capability; None for any."""

    type_name: str
    opset: int
    compute_capability: str | None


_NEEDS = {
    "float8": _Need("FLOAT8E4M3FN", 19, "8.9"),
    # Dequantizers of blocks came with opset 21.
    "int8_weight_only": _Need("INT8", 21, None),
    "int4_weight_only": _Need("INT4", 21, "8.0"),
}


def runs_by_type(precision: str) -> bool:
    """Say whether a precision is one that only a library bound to the network's types is asked for here."""
    return precision in _NEEDS


def check_library(precision: str, flavor: Flavor) -> None:
    """Refuse a precision that the library lacks in every form.

    Raises
    ------
    ConfigError : it does; the message says which libraries have it.
    """
    need = _NEEDS.get(precision)
    if need is None:
        return
    if need.type_name not in flavor.quantized_types or flavor.max_onnx_opset < need.opset:
        raise ConfigError(
            f"precision {precision!r} needs {need.type_name} and opset {need.opset}; {flavor} reads "
            f"{', '.join(flavor.quantized_types)} and opset {flavor.max_onnx_opset}",
            hint="TensorRT 10 and later and TensorRT-RTX have it; ask this one for int8 or float16",
            settings=("precision", "flavor"),
        )


def targets_of(precision: str, flavor: Flavor, config: BuildConfig) -> tuple[str, ...]:
    """Return the compute capabilities that an engine will run on.

    Where none were asked for, those of a library's portable set that lack the type are left out; the library
    builds such an engine all the same.

    Raises
    ------
    ConfigError : one that was asked for, or that of the GPU here, lacks the type.
    NoGpuError : the library builds for the GPU that it runs on, and there is none.
    """
    built = flavor.built_for(config.compute_capabilities, config.hardware_compatibility)
    need = _NEEDS.get(precision)
    if need is None or need.compute_capability is None:
        return built
    least = need.compute_capability
    lacking = [target for target in built if _number(target) < _number(least)]
    if lacking and (config.compute_capabilities or not flavor.targets_compute_capabilities):
        raise ConfigError(
            f"precision {precision!r} needs compute capability {least} or above, and the engine is to run on "
            f"{', '.join(lacking)}",
            hint=f"ask for {least} and above alone, or for another precision",
            settings=("precision", "compute_capabilities"),
        )
    return tuple(target for target in built if target not in lacking)


def _number(target: str) -> tuple[int, int]:
    major, minor = target.removesuffix("+").split(".")
    return int(major), int(minor)
