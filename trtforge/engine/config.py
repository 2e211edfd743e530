"""How to build an engine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from trtforge.errors import ConfigError
from trtforge.nvidia.options import BY_FIELD
from trtforge.nvidia.plugins import Plugin
from trtforge.precisions import PRECISIONS, Precision

if TYPE_CHECKING:
    from trtforge.calibration.cache import CalibrationCache

Calibrator = Literal["entropy", "minmax"]
Refit = Literal["any", "identical"]
HardwareCompatibility = Literal["ampere_plus", "same_compute_capability"]
Verbosity = Literal["detailed", "layer_names_only", "none"]

MAX_OPTIMIZATION_LEVEL = 5
BLOCK_SIZES = (16, 32, 64, 128)
_BLOCK_SIZE = 64
_MAX_AUX_STREAMS = 7
# The libraries count bytes in 64 bits.
_MAX_BYTES = (1 << 63) - 1
_SWITCHES = (
    "sparsity",
    "tf32",
    "strip_weights",
    "weight_streaming",
    "strongly_typed",
    "prefer_float16",
    "direct_io",
    "version_compatible",
    "exclude_lean_runtime",
    "require_precision",
)


@dataclass(frozen=True)
class BuildConfig:
    """What to ask of the builder.

    An option that the library lacks is refused when an engine is built, with the libraries that have it.
    `trtforge.nvidia.options.OPTIONS` is the table of them.

    Parameters
    ----------
    precision : what the engine must compute in, or None for what the network holds. ``int8`` needs a network
        with Q/DQ nodes or, with TensorRT 8.6 and 10, a calibration. ``float16`` needs a network typed FP16
        or float32; the latter is lowered by a builder flag (TensorRT 8.6 and 10) or typed FP16 before it is
        built (TensorRT 11, TensorRT-RTX). ``bfloat16`` needs a network typed BF16, or a float32 one and a
        library that runs the types of the network. ``float8`` needs a network with Q/DQ nodes of FP8
        (E4M3). ``int8_weight_only`` and ``int4_weight_only`` store the weights of a float32 network's
        products in blocks and compute in FP16. These three are for TensorRT 10 and later and TensorRT-RTX,
        ``float8`` on compute capability 8.9 and above, ``int4_weight_only`` on 8.0 and above. Anything else
        the network holds than what is asked is an error.
    weight_block_size : number of weights, along the summed axis, that share a scale where weights alone are
        stored narrow: 16, 32, 64 or 128.
    optimization_level : 0 (fastest build) to 5 (fastest engine); None leaves the library's default, 3.
    workspace_bytes : most scratch memory that a layer may use; None allows all there is, which is best.
    memory_pools : bounds of other pools, by the vendor's names in lower case, such as
        ``{"tactic_shared_memory": 65536}``; in bytes.
    timing_cache : what keeps measured timings between builds: a file, or True for the one of this GPU and
        library in the user's cache folder. Builders may share it.
    sparsity : whether weights with two zeros in every four may be computed as such.
    tf32 : whether FP32 products may round their factors to TF32, as is the libraries' default.
    tactic_sources : the only libraries to take implementations from, such as ``("jit_convolutions",)``; None
        leaves the library's default.
    refit : ``any`` to be able to exchange weights later, ``identical`` to be able to put the same ones back
        into a stripped engine, which is as fast as one without; None for neither.
    strip_weights : leave the weights out of the engine; needs ``refit``. Such an engine must be refitted
        before it can run, which `trtforge.Session` does not do.
    weight_streaming : allow weights to stay in host memory; TensorRT 10 also wants ``strongly_typed``.
    strongly_typed : let the network's types decide what runs in which, as TensorRT 11 and TensorRT-RTX
        always do; TensorRT 10 can.
    prefer_float16 : set every layer that INT8 does not reach, but reductions, softmax and normalisation, to
        FP16, and do not leave it to what the library measures; TensorRT 8.6, and 10 without
        ``strongly_typed``.
    direct_io : have inputs and outputs read and written as they lie, in their own type: a network that could
        only run by converting one first is refused. Without it, a library whose flags decide what runs in
        FP16 may convert an FP16 input to FP32 on every call, above all where there are many.
    version_compatible : let later releases of the library load the engine.
    exclude_lean_runtime : leave the lean runtime out of a version-compatible engine. TensorRT 8.6.0 needs it,
        whose package lacks that runtime.
    hardware_compatibility : ``ampere_plus`` for an engine that runs on compute capability 8.0 and above,
        ``same_compute_capability`` for any GPU of the builder's; None for the builder's GPU.
    compute_capabilities : GPU generations to build for, such as ``("8.6", "8.9")``; TensorRT-RTX only, whose
        default is every one from 8.0 on.
    plugins : shared libraries with the network's custom operators: absolute paths, or `Plugin` where their
        digest is known beforehand. They run code in this process: take them only from where you would take
        programs.
    aux_streams : most streams beside the main one that the engine may use, 0 to 7; None leaves it to the
        library.
    profiling_verbosity : how much the engine tells of its layers: ``detailed``, without which their
        precisions cannot be counted, ``layer_names_only`` or ``none``.
    preview_features : the vendor's features on trial to switch on or off, names in lower case, such as
        ``{"profile_sharing_0806": True}``.
    calibration_cache : a calibration cache, for ``int8`` of a network without Q/DQ nodes: its path, a
        `trtforge.calibration.CalibrationCache`, or the file's content, which it is held as; TensorRT 8.6 and
        10 only.
    calibrator : ``entropy`` or ``minmax``: how TensorRT 8.6 and 10 calibrate on feeds by themselves, or the
        kind of the calibration cache; None is that of the cache, else ``entropy``.
    require_precision : whether an engine is refused of which any layer runs in another precision than was
        asked, or may do so for all that the library tells.

    Raises
    ------
    ConfigError : a value is out of range, or unknown to every library.
    CalibrationCacheError : the calibration cache cannot be read at its path, or is malformed there.
    """

    precision: Precision | None = None
    weight_block_size: int = _BLOCK_SIZE
    optimization_level: int | None = None
    workspace_bytes: int | None = None
    memory_pools: Mapping[str, int] = field(default_factory=dict, hash=False)
    timing_cache: str | os.PathLike[str] | Literal[True] | None = None
    sparsity: bool = False
    tf32: bool = True
    tactic_sources: Sequence[str] | None = None
    refit: Refit | None = None
    strip_weights: bool = False
    weight_streaming: bool = False
    strongly_typed: bool = False
    prefer_float16: bool = False
    direct_io: bool = False
    version_compatible: bool = False
    exclude_lean_runtime: bool = False
    hardware_compatibility: HardwareCompatibility | None = None
    compute_capabilities: Sequence[str] = ()
    plugins: Sequence[str | os.PathLike[str] | Plugin] = ()
    aux_streams: int | None = None
    profiling_verbosity: Verbosity = "detailed"
    preview_features: Mapping[str, bool] = field(default_factory=dict, hash=False)
    calibration_cache: bytes | str | os.PathLike[str] | CalibrationCache | None = field(
        default=None, repr=False
    )
    calibrator: Calibrator | None = None
    require_precision: bool = False

    def __post_init__(self) -> None:
        self._check_calibration()
        _check_one_of("precision", self.precision, PRECISIONS)
        _check_one_of("refit", self.refit, get_args(Refit))
        _check_one_of("hardware_compatibility", self.hardware_compatibility, get_args(HardwareCompatibility))
        _check_one_of("profiling_verbosity", self.profiling_verbosity, get_args(Verbosity), optional=False)
        _check_range("optimization_level", self.optimization_level, MAX_OPTIMIZATION_LEVEL)
        _check_range("aux_streams", self.aux_streams, _MAX_AUX_STREAMS)
        for name in _SWITCHES:
            _check_switch(name, getattr(self, name), name)
        if not (_is_whole(self.weight_block_size) and self.weight_block_size in BLOCK_SIZES):
            raise ConfigError(
                f"weight_block_size must be one of {', '.join(map(str, BLOCK_SIZES))}, got "
                f"{self.weight_block_size}",
                settings=("weight_block_size",),
            )
        if self.workspace_bytes is not None:
            _check_bytes("workspace_bytes", self.workspace_bytes, ("workspace_bytes",))
        for field_name in ("memory_pools", "preview_features"):
            if not isinstance(getattr(self, field_name), Mapping):
                raise ConfigError(
                    f"{field_name} must be a mapping, got {getattr(self, field_name)!r}",
                    settings=(field_name,),
                )
        for name, enable in self.preview_features.items():
            _check_switch(f"preview_features: {name!r}", enable, "preview_features")
        for name, num_bytes in self.memory_pools.items():
            if name == "workspace":
                raise ConfigError(
                    "memory_pools holds the pools other than workspace, which has a field of its own",
                    hint="pass workspace_bytes",
                    settings=("memory_pools", "workspace_bytes"),
                )
            _check_bytes(f"memory_pools: {name!r}", num_bytes, ("memory_pools",))
        for name in ("tactic_sources", "compute_capabilities", "plugins"):
            self._freeze(name)
        for name in ("memory_pools", "tactic_sources", "preview_features"):
            _check_known(name, getattr(self, name) or ())
        self._check_together()
        object.__setattr__(
            self, "plugins", tuple(p if isinstance(p, Plugin) else Plugin(p) for p in self.plugins)
        )
        for capability in self.compute_capabilities:
            if not (isinstance(capability, str) and re.fullmatch(r"\d+\.\d", capability)):
                raise ConfigError(
                    f"compute_capabilities wants versions such as '8.9', got {capability!r}",
                    settings=("compute_capabilities",),
                )

    def asked(self) -> dict[str, Any]:
        """Return the options of the builder that differ from their defaults, by field."""
        standard = type(self).__dataclass_fields__
        values = {name: getattr(self, name) for name in BY_FIELD}
        values = {
            name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()
        }
        unset: tuple[Any, ...] = (None, (), {})
        return {
            name: value
            for name, value in values.items()
            if value != standard[name].default and (value not in unset or name == "tactic_sources")
        }

    @property
    def plugin_files(self) -> tuple[Plugin, ...]:
        """The plugins, each with its path and, where it was stated, its digest."""
        return tuple(plugin for plugin in self.plugins if isinstance(plugin, Plugin))

    def _freeze(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if isinstance(value, str | os.PathLike) or not isinstance(value, Iterable):
            raise ConfigError(f"{name} must be a tuple of strings, got {value!r}", settings=(name,))
        frozen = tuple(value)
        object.__setattr__(self, name, frozen)
        if len(set(frozen)) < len(frozen):
            raise ConfigError(f"{name} names one twice: {frozen}")

    def _check_calibration(self) -> None:
        _check_one_of("calibrator", self.calibrator, get_args(Calibrator))
        if self.calibration_cache is not None and not isinstance(self.calibration_cache, bytes):
            object.__setattr__(self, "calibration_cache", _cache_content(self.calibration_cache))
        for setting in ("calibration_cache", "calibrator"):
            if getattr(self, setting) is not None and self.precision != "int8":
                raise ConfigError(f"{setting} needs precision='int8', got {self.precision!r}")

    @property
    def cache_content(self) -> bytes | None:
        """The content of the calibration cache, however it was given."""
        return self.calibration_cache if isinstance(self.calibration_cache, bytes) else None

    def check_effects(self, precision: str) -> None:
        """Raise ConfigError where a setting was asked for that means nothing in a precision."""
        if self.prefer_float16 and precision not in ("float16", "int8"):
            raise ConfigError(
                f"prefer_float16 contradicts precision {precision!r}, in which no layer may run in FP16",
                hint="leave it out, or ask for int8 or float16",
                settings=("prefer_float16", "precision"),
            )
        if self.weight_block_size != _BLOCK_SIZE and not precision.endswith("_weight_only"):
            raise ConfigError(
                f"weight_block_size={self.weight_block_size} has no effect: an engine in {precision} stores "
                "no weights in blocks",
                hint="leave it out, or ask for int8_weight_only or int4_weight_only",
                settings=("weight_block_size", "precision"),
            )

    def _check_together(self) -> None:
        if self.strip_weights and self.refit is None:
            raise ConfigError(
                "strip_weights without refit makes an engine that could never run",
                hint="set refit='identical' too, so that the weights can be put back",
                settings=("strip_weights", "refit"),
            )
        if self.precision is not None:
            self.check_effects(self.precision)
        if self.exclude_lean_runtime and not self.version_compatible:
            raise ConfigError(
                "exclude_lean_runtime has no effect: only version-compatible engines hold a lean runtime",
                hint="set version_compatible=True too, or leave it out",
                settings=("exclude_lean_runtime", "version_compatible"),
            )
        if self.timing_cache is not None and not (
            self.timing_cache is True
            or (self.timing_cache and isinstance(self.timing_cache, str | os.PathLike))
        ):
            raise ConfigError(f"timing_cache must be a path, True or None, got {self.timing_cache!r}")


def _cache_content(cache: object) -> bytes:
    from trtforge.calibration.cache import CalibrationCache, read_calibration_cache

    if isinstance(cache, str | os.PathLike):
        cache = read_calibration_cache(cache)
    if not isinstance(cache, CalibrationCache):
        raise ConfigError(
            "calibration_cache must be a path, a CalibrationCache, or the content of a file as bytes, got "
            f"{type(cache).__name__}"
        )
    return cache.dumps()


def _check_one_of(name: str, value: Any, choices: Sequence[str], *, optional: bool = True) -> None:
    if value in choices or (optional and value is None):
        return
    said = ", ".join(map(repr, choices)) + (" or None" if optional else "")
    raise ConfigError(f"{name} must be one of {said}, got {value!r}", settings=(name,))


def _check_range(name: str, value: int | None, most: int) -> None:
    if value is not None and not (_is_whole(value) and 0 <= value <= most):
        raise ConfigError(f"{name} must lie in 0 to {most}, got {value!r}", settings=(name,))


def _check_bytes(name: str, value: int, settings: tuple[str, ...]) -> None:
    if not (_is_whole(value) and 0 < value <= _MAX_BYTES):
        raise ConfigError(
            f"{name} must be 1 to 2**63 - 1 bytes, got {value!r}",
            hint="trtforge.units.parse_bytes reads texts such as '4GiB'",
            settings=settings,
        )


def _check_switch(name: str, value: object, setting: str) -> None:
    """Raise ConfigError unless a value is a truth value: a text such as 'off' would pass for true."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, got {value!r}", settings=(setting,))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_known(name: str, given: Sequence[str] | Mapping[str, Any]) -> None:
    for choice in given:
        if choice not in BY_FIELD[name].choices:
            known = ", ".join(BY_FIELD[name].choices)
            raise ConfigError(
                f"{name} names {choice!r}, which no library has; they have {known}",
                settings=(name,),
            )
