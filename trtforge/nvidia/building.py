"""Build a plan from a serialized ONNX network: the one sequence of calls that every version shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from trtforge.errors import BuildError, ProfileError
from trtforge.model import TensorSpec
from trtforge.nvidia.calibrators import CalibrationRequest, attach
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.large_networks import parse_network
from trtforge.nvidia.layers import count_from_log
from trtforge.nvidia.log import VendorLog, make_logger
from trtforge.nvidia.observing import expose_tensors

if TYPE_CHECKING:
    import onnx

# Input name to its min, opt and max shape.
Ranges: TypeAlias = Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]

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
    optimization_level : 0 (fastest build) to 5, or None for the library's default.
    workspace_bytes : most scratch memory that a layer may use, or None for all there is.
    compute_capabilities : GPU generations to build for; empty means the library's default.
    timing_cache : a cache that an earlier build gave, empty to start one, None to use none.
    calibration : where INT8 scales come from, for a network without Q/DQ nodes; None otherwise.
    observed : intermediate tensors that can be read while the engine runs (`expose_tensors`).
    allow_tf32 : whether FP32 products may round their factors to TF32, as is the library's default.
    """

    model: onnx.ModelProto
    precision: str
    profiles: Sequence[Ranges] = ()
    optimization_level: int | None = None
    workspace_bytes: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    timing_cache: bytes | None = None
    calibration: CalibrationRequest | None = None
    observed: tuple[str, ...] = ()
    allow_tf32: bool = True


@dataclass(frozen=True)
class BuiltPlan:
    """What the vendor's builder gave.

    Parameters
    ----------
    plan : the serialized engine.
    inputs, outputs : the tensors as the engine sees them; a dynamic axis is ``?``.
    layer_precisions : type to number of layers that read it, where the builder's log says so.
    warnings : what the library warned of.
    timing_cache : the cache to pass to the next build, or None.
    calibration_cache : what the library wrote after calibrating, or None.
    """

    plan: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layer_precisions: Mapping[str, int] | None
    warnings: tuple[str, ...]
    timing_cache: bytes | None
    calibration_cache: bytes | None = None


def build_plan(flavor: Flavor, request: BuildRequest) -> BuiltPlan:
    """Parse the network, set the builder up, and build.

    Raises
    ------
    NoGpuError : the library needs a GPU to build, and there is none.
    ConfigError : the library lacks what was asked.
    ProfileError : the library refuses a profile.
    PluginMissingError : an operator needs a plugin that is not registered.
    BuildError : the network cannot be parsed or built; the message carries the library's own reason.
    CalibrationError : a tensor cannot be observed.
    Exception : whatever a calibration batch raised; no plan is given then, even if the library built one.
    """
    flavor.check_can_build()
    trt, log = flavor.module(), VendorLog()
    logger = make_logger(trt, log)
    builder = trt.Builder(logger)
    network = builder.create_network(flavor.network_flags(trt))
    _parse(flavor, trt, network, logger, log, request)
    if request.observed:
        expose_tensors(flavor, trt, network, request.observed, half=request.precision == "float16")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if request.optimization_level is not None:
        config.builder_optimization_level = request.optimization_level
    if request.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_bytes)
    flavor.set_precision(trt, config, request.precision)
    if not request.allow_tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    flavor.set_compute_capabilities(trt, config, request.compute_capabilities)
    if request.timing_cache is not None:
        _set_timing_cache(config, request.timing_cache, log)
    for ranges in request.profiles:
        _add_profile(builder, config, ranges, log)
    inputs = tuple(tensor_spec(network.get_input(index)) for index in range(network.num_inputs))
    calibration = None
    if request.calibration is not None:
        dtypes = {spec.name: spec.dtype for spec in inputs}
        calibration = attach(trt, builder, network, config, request.calibration, dtypes)
    with calibration or nullcontext():
        plan = builder.build_serialized_network(network, config)
    if calibration is not None:
        calibration.check()
    if plan is None:
        log.raise_missing_plugin()
        raise BuildError(
            f"{flavor} could not build the engine: {log.reason}", hint=log.hint, settings=log.settings
        )
    return BuiltPlan(
        plan=bytes(plan),
        inputs=inputs,
        outputs=tuple(tensor_spec(network.get_output(index)) for index in range(network.num_outputs)),
        layer_precisions=count_from_log(log.layer_list),
        warnings=tuple(dict.fromkeys(log.warnings)),
        timing_cache=None if request.timing_cache is None else bytes(config.get_timing_cache().serialize()),
        calibration_cache=calibration.written if calibration is not None else None,
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
    reasons, operator = [], None
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        node = _node_at(request.model, error.node())
        where = f"node {node.name!r} ({node.op_type}): " if node is not None else ""
        operator = operator or (node.op_type if node is not None else None)
        reasons.append(f"{where}{error.desc()}")
    log.raise_missing_plugin(operator=operator)
    opset = max(
        (entry.version for entry in request.model.opset_import if entry.domain in ("", "ai.onnx")), default=0
    )
    hint, settings = log.hint, log.settings
    if opset > flavor.max_onnx_opset:
        hint = (
            f"the network uses opset {opset}, {flavor} reads up to {flavor.max_onnx_opset}: export it again"
        )
        settings = ()
    raise BuildError(
        f"{flavor} cannot read the network: {'; '.join(reasons) or log.reason}", hint=hint, settings=settings
    )


def _node_at(model: onnx.ModelProto, index: int) -> onnx.NodeProto | None:
    return model.graph.node[index] if 0 <= index < len(model.graph.node) else None


def _set_timing_cache(config: Any, content: bytes, log: VendorLog) -> None:
    if not config.set_timing_cache(config.create_timing_cache(content), False):
        log.warnings.append("the timing cache was made elsewhere, and a new one was begun")
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _add_profile(builder: Any, config: Any, ranges: Ranges, log: VendorLog) -> None:
    profile = builder.create_optimization_profile()
    for name, (low, opt, high) in ranges.items():
        profile.set_shape(name, low, opt, high)
    if config.add_optimization_profile(profile) < 0:
        raise ProfileError(f"the library refuses profile {dict(ranges)}: {log.reason}")
