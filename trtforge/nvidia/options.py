"""What a builder can be told, option by option: the vendor's name for it, and which libraries have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from trtforge.errors import ConfigError
from trtforge.nvidia.flavor import Flavor

V8, V10, V11, RTX = "TensorRT 8.6", "TensorRT 10", "TensorRT 11", "TensorRT-RTX 1"
ALL = (V8, V10, V11, RTX)

# Sets one option on an ``IBuilderConfig``: module, builder config, value.
Setter: TypeAlias = Callable[[Any, Any, Any], None]


@dataclass(frozen=True)
class Option:
    """One option of `trtforge.BuildConfig`, and what it is to the vendor.

    Parameters
    ----------
    name : of its field in `trtforge.BuildConfig`.
    sets : the vendor's names behind it, ``Class.member``.
    have : generations of the library (`Flavor.generation`) that have it.
    apply : sets it on a builder config; None where another step of the build does.
    choices : for values that are the vendor's own names: each in lower case, to the generations that have it.
    why_not : what to do where it is missing, as the hint of the error.
    """

    name: str
    sets: tuple[str, ...]
    have: tuple[str, ...]
    apply: Setter | None = None
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    why_not: str = "leave it out"

    def chosen(self, value: Any) -> tuple[str, ...]:
        """Return which of the choices a value names; empty where the option has none."""
        if not self.choices:
            return ()
        return (value,) if isinstance(value, str) else tuple(value)


def _flag(name: str, flag: str, have: tuple[str, ...]) -> Option:
    def apply(trt: Any, config: Any, value: Any) -> None:
        if value:
            config.set_flag(getattr(trt.BuilderFlag, flag))

    return Option(name, (f"BuilderFlag.{flag}",), have, apply)


def _attribute(name: str, attribute: str) -> Option:
    def apply(trt: Any, config: Any, value: Any) -> None:
        setattr(config, attribute, value)

    return Option(name, (f"IBuilderConfig.{attribute}",), ALL, apply)


def _set_workspace(trt: Any, config: Any, value: int) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, value)


def _set_pools(trt: Any, config: Any, value: Mapping[str, int]) -> None:
    for name, num_bytes in value.items():
        config.set_memory_pool_limit(getattr(trt.MemoryPoolType, name.upper()), num_bytes)


def _set_tf32(trt: Any, config: Any, value: bool) -> None:
    if not value:
        config.clear_flag(trt.BuilderFlag.TF32)


def _set_tactic_sources(trt: Any, config: Any, value: tuple[str, ...]) -> None:
    bits = sum(1 << int(getattr(trt.TacticSource, name.upper())) for name in value)
    if not config.set_tactic_sources(bits):
        raise ConfigError(f"tactic_sources: the library refuses {value}", settings=("tactic_sources",))


_REFIT_FLAGS = {"any": "REFIT", "identical": "REFIT_IDENTICAL"}


def _set_refit(trt: Any, config: Any, value: str) -> None:
    config.set_flag(getattr(trt.BuilderFlag, _REFIT_FLAGS[value]))


def _set_hardware_compatibility(trt: Any, config: Any, value: str) -> None:
    config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, value.upper())


def _set_verbosity(trt: Any, config: Any, value: str) -> None:
    config.profiling_verbosity = getattr(trt.ProfilingVerbosity, value.upper())


def _set_previews(trt: Any, config: Any, value: Mapping[str, bool]) -> None:
    for name, enable in value.items():
        config.set_preview_feature(getattr(trt.PreviewFeature, name.upper()), enable)


_NOT_RTX = (V8, V10, V11)
_SINCE_10 = (V10, V11, RTX)
_RTX_PORTABLE = "TensorRT-RTX engines say with compute_capabilities where they run"

# Where the vendor's modules have a name without its use, only the libraries that act on it are listed.
OPTIONS: tuple[Option, ...] = (
    _attribute("optimization_level", "builder_optimization_level"),
    Option(
        "workspace_bytes",
        ("IBuilderConfig.set_memory_pool_limit", "MemoryPoolType.WORKSPACE"),
        ALL,
        _set_workspace,
    ),
    Option(
        "memory_pools",
        ("IBuilderConfig.set_memory_pool_limit",),
        ALL,
        _set_pools,
        choices={
            "dla_managed_sram": _NOT_RTX,
            "dla_local_dram": _NOT_RTX,
            "dla_global_dram": _NOT_RTX,
            "tactic_dram": ALL,
            "tactic_shared_memory": _SINCE_10,
        },
    ),
    Option(
        "timing_cache",
        (
            "IBuilderConfig.create_timing_cache",
            "IBuilderConfig.set_timing_cache",
            "IBuilderConfig.get_timing_cache",
            "ITimingCache.combine",
            "ITimingCache.serialize",
        ),
        _NOT_RTX,
        why_not="leave it out: TensorRT-RTX times nothing while it builds",
    ),
    _flag("sparsity", "SPARSE_WEIGHTS", ALL),
    Option("tf32", ("IBuilderConfig.clear_flag", "BuilderFlag.TF32"), ALL, _set_tf32),
    Option(
        "tactic_sources",
        ("IBuilderConfig.set_tactic_sources",),
        ALL,
        _set_tactic_sources,
        choices={
            "cublas": (V8, V10),
            "cublas_lt": (V8, V10),
            "cudnn": (V8, V10),
            "edge_mask_convolutions": ALL,
            "jit_convolutions": ALL,
        },
    ),
    Option(
        "refit",
        ("IBuilderConfig.set_flag",),
        ALL,
        _set_refit,
        choices={"any": ALL, "identical": _SINCE_10},
    ),
    _flag("strip_weights", "STRIP_PLAN", _SINCE_10),
    _flag("prefer_float16", "PREFER_PRECISION_CONSTRAINTS", (V8, V10)),
    _flag("direct_io", "DIRECT_IO", ALL),
    _flag("weight_streaming", "WEIGHT_STREAMING", _SINCE_10),
    Option("strongly_typed", ("NetworkDefinitionCreationFlag.STRONGLY_TYPED",), _SINCE_10),
    _flag("version_compatible", "VERSION_COMPATIBLE", _NOT_RTX),
    _flag("exclude_lean_runtime", "EXCLUDE_LEAN_RUNTIME", _NOT_RTX),
    Option(
        "hardware_compatibility",
        ("IBuilderConfig.hardware_compatibility_level",),
        _NOT_RTX,
        _set_hardware_compatibility,
        choices={"ampere_plus": _NOT_RTX, "same_compute_capability": (V10, V11)},
        why_not=_RTX_PORTABLE,
    ),
    Option(
        "compute_capabilities",
        ("IBuilderConfig.num_compute_capabilities", "IBuilderConfig.set_compute_capability"),
        (RTX,),
        why_not="leave it empty, or build with tensorrt_rtx",
    ),
    Option("plugins", ("IPluginRegistry.load_library",), ALL),
    _attribute("aux_streams", "max_aux_streams"),
    Option(
        "profiling_verbosity",
        ("IBuilderConfig.profiling_verbosity",),
        ALL,
        _set_verbosity,
        choices={"detailed": ALL, "layer_names_only": ALL, "none": ALL},
    ),
    Option(
        "preview_features",
        ("IBuilderConfig.set_preview_feature",),
        ALL,
        _set_previews,
        choices={
            "faster_dynamic_shapes_0805": (V8,),
            "disable_external_tactic_sources_for_core_0805": (V8,),
            "profile_sharing_0806": (V8, V10),
            "aliased_plugin_io_10_03": _SINCE_10,
            "runtime_activation_resize_10_10": _SINCE_10,
            "multidevice_runtime_10_16": (V10,),
        },
    ),
)
BY_FIELD = {option.name: option for option in OPTIONS}

# The vendor's enumeration behind each set of choices.
CHOICES_OF = {
    "memory_pools": "MemoryPoolType",
    "tactic_sources": "TacticSource",
    "hardware_compatibility": "HardwareCompatibilityLevel",
    "profiling_verbosity": "ProfilingVerbosity",
    "preview_features": "PreviewFeature",
}


def check_options(flavor: Flavor, options: Mapping[str, Any]) -> None:
    """Refuse what a library lacks, and say which has it.

    Parameters
    ----------
    flavor : the library.
    options : field to value, those alone that differ from their defaults.

    Raises
    ------
    ConfigError : the library lacks an option, or a value of one.
    """
    for name, value in options.items():
        option = BY_FIELD[name]
        if flavor.generation not in option.have:
            raise ConfigError(
                f"{name}: {flavor} has no such option, {' and '.join(option.have)} "
                f"{'have' if len(option.have) > 1 else 'has'}",
                hint=option.why_not,
                settings=(name, "flavor"),
            )
        for choice in option.chosen(value):
            have = option.choices[choice]
            if flavor.generation not in have:
                raise ConfigError(
                    f"{name}: {flavor} has no {choice!r}, {' and '.join(have)} "
                    f"{'have' if len(have) > 1 else 'has'}",
                    hint=option.why_not,
                    settings=(name, "flavor"),
                )
    typed = flavor.strongly_typed_only or options.get("strongly_typed")
    if options.get("prefer_float16") and typed:
        raise ConfigError(
            "prefer_float16: the types of a strongly typed network decide already",
            hint="leave it out, or strongly_typed",
            settings=("prefer_float16", "strongly_typed"),
        )
    if options.get("weight_streaming") and not typed:
        raise ConfigError(
            f"weight_streaming: {flavor} streams the weights of strongly typed networks alone",
            hint="set strongly_typed=True too",
            settings=("weight_streaming", "strongly_typed"),
        )


def apply_options(flavor: Flavor, trt: Any, config: Any, options: Mapping[str, Any]) -> None:
    """Set options on an ``IBuilderConfig``.

    Parameters
    ----------
    flavor, trt : the library.
    config : the builder config.
    options : field to value, as `check_options` passed them.

    Raises
    ------
    ConfigError : this release of the library lacks an option that others of its generation have, or refuses
        a value.
    """
    for name, value in options.items():
        option = BY_FIELD[name]
        if option.apply is None:
            continue
        try:
            option.apply(trt, config, value)
        except AttributeError as error:
            raise ConfigError(
                f"{name}={value!r}: {flavor} lacks it, though other releases of {flavor.generation} have it: "
                f"{error}",
                hint="leave it out, or install another release",
                settings=(name, "flavor"),
            ) from error
