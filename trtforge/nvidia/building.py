"""Build a plan from a serialized ONNX network: the one sequence of calls that every version shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias

from trtforge.errors import BuildError, ProfileError, TrtforgeError
from trtforge.model import TensorSpec
from trtforge.nvidia.attention import allow_decomposing
from trtforge.nvidia.calibrators import CalibrationRequest, attach
from trtforge.nvidia.constraints import prefer_float16
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.formats import fix_formats
from trtforge.nvidia.interruption import run_interruptibly
from trtforge.nvidia.large_networks import parse_network
from trtforge.nvidia.layers import EngineLayer, layers_from_log
from trtforge.nvidia.log import VendorLog, listen, logger_of
from trtforge.nvidia.observing import expose_tensors
from trtforge.nvidia.options import apply_options, check_options
from trtforge.nvidia.plugins import load_plugins, register_own_plugins
from trtforge.nvidia.progress import BuildProgress, OnProgress, make_monitor
from trtforge.nvidia.timings import KeepTimings, keep_timings, set_timing_cache

if TYPE_CHECKING:
    import onnx

# Input name to its min, opt and max shape.
Ranges: TypeAlias = Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
_NOTHING: Ranges = {}

_STANDARD_DOMAINS = ("", "ai.onnx")

# The vendor's names for types, and NumPy's.
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class BuildRequest:
    """What the vendor's builder is asked for.

    Parameters
    ----------
    model : the network.
    precision : ``float32``, ``float16`` or ``int8``; only flavors with precision flags act on it.
    profiles : shape ranges, one mapping for each optimization profile.
    profile_values : ranges of the values of inputs that decide shapes, one mapping for each profile.
    options : what differs from the library's defaults, by the fields of `trtforge.nvidia.options.OPTIONS`.
    timing_cache : a cache that an earlier build gave, empty to start one, None to use none.
    keep_timings : called after the build with the new cache, and with what adds another cache to it: given
        the content of one, it returns both in one, or None where they are not of one library and GPU.
    calibration : where INT8 scales come from, for a network without Q/DQ nodes; None otherwise.
    observed : intermediate tensors that can be read while the engine runs (`expose_tensors`).
    on_progress : called with the steps done and their number, where the library tells or the time is known.
    expected_seconds : how long the build may take, for libraries that do not tell; None where unknown.
    """

    model: onnx.ModelProto
    precision: str
    profiles: Sequence[Ranges] = ()
    profile_values: Sequence[Ranges] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    timing_cache: bytes | None = None
    keep_timings: KeepTimings | None = None
    calibration: CalibrationRequest | None = None
    observed: tuple[str, ...] = ()
    on_progress: OnProgress | None = None
    expected_seconds: float | None = None


@dataclass(frozen=True)
class BuiltPlan:
    """What the vendor's builder gave.

    Parameters
    ----------
    plan : the serialized engine.
    inputs, outputs : the tensors as the engine sees them; a dynamic axis is ``?``.
    layers : the engine's layers, where the builder's log lists them.
    warnings : what the library warned of.
    calibration_cache : what the library wrote after calibrating, or None.
    """

    plan: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layers: tuple[EngineLayer, ...] | None
    warnings: tuple[str, ...]
    calibration_cache: bytes | None = None


def build_plan(flavor: Flavor, request: BuildRequest) -> BuiltPlan:
    """Parse the network, set the builder up, and build.

    Raises
    ------
    NoGpuError : the library needs a GPU to build, and there is none.
    ConfigError : the library lacks what was asked.
    ProfileError : the library refuses a profile.
    PluginMissingError : an operator needs a plugin that is not registered, or a plugin cannot be loaded.
    BuildError : the network cannot be parsed or built; the message carries the library's own reason.
    CalibrationError : a tensor cannot be observed.
    KeyboardInterrupt : the main thread was interrupted; the build was stopped where the library can be told
        to, and goes on in the background, its result dropped, where it cannot.
    Exception : whatever a calibration batch or ``on_progress`` raised; no plan is given then, even if the
        library built one.
    """
    check_options(flavor, request.options)
    flavor.check_can_build()
    progress = BuildProgress(request.on_progress)

    def work() -> BuiltPlan | TrtforgeError:
        try:
            return _build(flavor, request, progress)
        except TrtforgeError as error:
            # A traceback would keep the builder and its memory alive.
            return error.with_traceback(None)

    if flavor.has_progress_monitor:
        made = run_interruptibly(work, progress.cancel)
    else:
        made = run_interruptibly(work, None, partial(progress.estimate, request.expected_seconds))
    if isinstance(made, TrtforgeError):
        raise made
    return made


def _build(flavor: Flavor, request: BuildRequest, progress: BuildProgress) -> BuiltPlan:
    trt, log = flavor.module(), listen()
    logger = logger_of(trt)
    builder = trt.Builder(logger)
    register_own_plugins(trt, logger)
    load_plugins(flavor, trt, request.options.get("plugins", ()), log)
    network = builder.create_network(flavor.network_flags(trt))
    _parse(flavor, trt, network, logger, log, request)
    if flavor.has_attention:
        allow_decomposing(trt, network)
    if request.options.get("prefer_float16"):
        prefer_float16(trt, network)
    if request.options.get("direct_io"):
        fix_formats(trt, network)
    if request.observed:
        expose_tensors(flavor, trt, network, request.observed, half=request.precision == "float16")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    flavor.set_precision(trt, config, request.precision)
    if request.profiles:
        flavor.share_profiles(trt, config)
    apply_options(flavor, trt, config, request.options)
    flavor.set_compute_capabilities(trt, config, request.options.get("compute_capabilities", ()))
    if request.timing_cache is not None:
        set_timing_cache(config, request.timing_cache, log)
    _check_values(network, request)
    for ranges, values in zip_longest(request.profiles, request.profile_values, fillvalue=_NOTHING):
        _add_profile(builder, config, ranges, values, log)
    inputs = tuple(tensor_spec(network.get_input(index)) for index in range(network.num_inputs))
    calibration = None
    if request.calibration is not None:
        dtypes = {spec.name: spec.dtype for spec in inputs}
        calibration = attach(trt, builder, network, config, request.calibration, dtypes)
    # The builder config keeps no reference of its own to the monitor.
    monitor = None
    if flavor.has_progress_monitor:
        monitor = make_monitor(trt, progress)
        config.progress_monitor = monitor
    with calibration or nullcontext():
        plan = builder.build_serialized_network(network, config)
    if calibration is not None:
        calibration.check()
    if plan is not None:
        progress.end()
    progress.check()
    if plan is None:
        raise _failure(flavor, network, log)
    if request.keep_timings is not None and request.timing_cache is not None:
        keep_timings(config, request.keep_timings)
    return BuiltPlan(
        plan=bytes(plan),
        inputs=inputs,
        outputs=tuple(tensor_spec(network.get_output(index)) for index in range(network.num_outputs)),
        layers=layers_from_log(log.layer_list),
        warnings=tuple(dict.fromkeys(log.warnings)),
        calibration_cache=calibration.written if calibration is not None else None,
    )


def _failure(flavor: Flavor, network: Any, log: VendorLog) -> BuildError:
    """Return the error for a build that gave no plan; raise PluginMissingError where that was why."""
    log.raise_missing_plugin()
    layer = log.layer([str(network.get_layer(index).name) for index in range(network.num_layers)])
    blamed = f" at layer {layer!r}" if layer and layer not in log.reason else ""
    return BuildError(
        f"{flavor} could not build the engine{blamed}: {log.reason}",
        hint=log.hint,
        settings=log.settings,
        layer=layer,
    )


def dtype_name(vendor: Any) -> str:
    """Return NumPy's name for a vendor's ``DataType``, or the vendor's own in lower case."""
    name = str(vendor.name)
    return _DTYPES.get(name, name.lower())


def tensor_spec(tensor: Any) -> TensorSpec:
    """Describe an ``ITensor``; its dynamic axes become ``?``."""
    return TensorSpec(tensor.name, dtype_name(tensor.dtype), axes(tensor.shape))


def axes(shape: Any) -> tuple[int | str, ...]:
    """Return a vendor's ``Dims`` as a tuple, its dynamic axes as ``?``."""
    return tuple(int(size) if size >= 0 else "?" for size in shape)


def _parse(
    flavor: Flavor, trt: Any, network: Any, logger: Any, log: VendorLog, request: BuildRequest
) -> None:
    parser = trt.OnnxParser(network, logger)
    if parse_network(parser, request.model):
        return
    reasons, blamed = [], None
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        node = _node_at(request.model, error.node())
        where = f"node {node.name!r} ({node.op_type}): " if node is not None else ""
        blamed = node if blamed is None else blamed
        reasons.append(f"{where}{error.desc()}")
    if blamed is not None:
        log.raise_missing_plugin(operator=blamed.op_type, is_standard=blamed.domain in _STANDARD_DOMAINS)
    log.raise_missing_plugin()
    opset = max(
        (entry.version for entry in request.model.opset_import if entry.domain in _STANDARD_DOMAINS),
        default=0,
    )
    hint, settings = log.hint, log.settings
    if opset > flavor.max_onnx_opset:
        hint = (
            f"the network uses opset {opset}, {flavor} reads up to {flavor.max_onnx_opset}: export it again"
        )
        settings = ()
    raise BuildError(
        f"{flavor} cannot read the network: {'; '.join(reasons) or log.reason}",
        hint=hint,
        settings=settings,
        layer=(blamed.name if blamed is not None else None) or log.layer(),
    )


def _node_at(model: onnx.ModelProto, index: int) -> onnx.NodeProto | None:
    return model.graph.node[index] if 0 <= index < len(model.graph.node) else None


def _check_values(network: Any, request: BuildRequest) -> None:
    """Raise ProfileError unless each profile has values for just those inputs whose values decide shapes."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    decisive = {tensor.name for tensor in inputs if tensor.is_shape_tensor}
    given = [set(values) for values in request.profile_values] or [set()]
    for name in sorted(decisive.union(*given)):
        if name not in decisive:
            raise ProfileError(f"profile {name!r}: values are given, but those of this input decide no shape")
        if any(name not in names for names in given):
            raise ProfileError(
                f"input {name!r} decides shapes by its values, and a profile has none for it",
                hint=f"give their min, opt and max: OptimizationProfile(shapes, values={{{name!r}: ...}})",
            )


def _add_profile(builder: Any, config: Any, ranges: Ranges, values: Ranges, log: VendorLog) -> None:
    profile, given = builder.create_optimization_profile(), {**ranges, **values}
    try:
        for name, (low, opt, high) in ranges.items():
            profile.set_shape(name, low, opt, high)
        for name, (low, opt, high) in values.items():
            profile.set_shape_input(name, low, opt, high)
    except (RuntimeError, ValueError) as error:  # what the bindings raise for shapes out of order
        raise ProfileError(f"the library refuses profile {given}: {error}") from None
    except TypeError:  # and for sizes beyond their integers, with their own signature as reason
        raise ProfileError(f"the library refuses profile {given}: a size is too large for it") from None
    if config.add_optimization_profile(profile) < 0:
        raise ProfileError(f"the library refuses profile {given}: {log.reason}")
