"""Run a network over clips on a GPU and count its activations there: nothing but counts comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from trtforge.calibration import Observations
from trtforge.calibration.clip_tally import ClipTally
from trtforge.calibration.collect import check_names
from trtforge.errors import ConfigError
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.model import ModelSource, load_model, model_digest, model_inputs
from trtforge.nvidia import Flavor, require_gpu, select
from trtforge.nvidia.building import BuildRequest, build_plan
from trtforge.nvidia.cuda import free_memory_bytes, set_device
from trtforge.profiles import triples
from trtforge.runtime.collection_plan import CollectionPlan, plan_collection
from trtforge.runtime.device_collector import DeviceCollector, OnProgress

if TYPE_CHECKING:
    import onnx

CollectingPrecision = Literal["float32", "tf32", "float16"]

_INSTEAD = "collect on the CPU, which counts in the same way"
# Of the memory that is free before the engine is there, which needs scratch memory beside it.
_ACTIVATION_SHARE = 0.4


def collect_on_gpu(
    model: ModelSource,
    feeds: Feeds | Sequence[Arrays],
    tensors: Sequence[str],
    *,
    device: int = 0,
    flavor: Flavor | str | None = None,
    precision: CollectingPrecision = "float32",
    max_batch: int | None = None,
    activation_bytes: int | None = None,
    optimization_level: int | None = None,
    on_progress: OnProgress | None = None,
    max_nonfinite_share: float = 0.01,
    model_sha256: str | None = None,
) -> Observations:
    """Count the magnitudes of a network's activations over clips, on a GPU.

    The network is built as a TensorRT engine that shows the observed tensors, and kernels count them where
    they lie. What is counted, and how, is as for `trtforge.calibration.collect`: equal activations give equal
    counts. Activations themselves differ between the two as FP32 arithmetic in another order does.

    Neighbouring feeds of one shape run as one batch, and feeds too large for the memory are cut between
    clips. A feed in which any observed value is NaN or infinite is refused whole, and its clips are listed
    with the reason; of a feed that was cut, each part is judged by itself.

    Parameters
    ----------
    model, feeds, tensors, max_nonfinite_share, model_sha256 : as for `trtforge.calibration.collect`. Where
        the network leaves other axes than the batch open, the feeds are gone through once before for their
        shapes.
    device : CUDA device ordinal.
    flavor : the library to build with, as `trtforge.nvidia.select` takes it.
    precision : ``float32``, which agrees best with ONNX Runtime; ``tf32``, whose products round their factors
        to 10 bits; or ``float16``, for libraries with precision flags, whose tensors are given in half
        precision.
    max_batch : most rows run at once; by default 16, or as many as the largest feed has.
    activation_bytes : bound on the observed tensors of a batch, which stay on the GPU until the next; by
        default 40 % of the free memory.
    optimization_level : of the builder, 0 to 5; None leaves the library's default.
    on_progress : called after each feed with the number of clips run and of all clips.

    Raises
    ------
    NoGpuError : there is no such GPU.
    ConfigError : a setting is out of range, or the library cannot give the precision.
    CalibrationError : a tensor is unknown, not of floating point or not in the engine, it has the clips of a
        batch on another axis than the first, there are no clips, or too many clips give non-finite
        activations. Nothing is returned of what was counted.
    InputError : a feed does not fit the inputs of the network.
    BuildError : the library cannot build the network.
    OutOfMemoryError : not even one clip fits.
    ExecutionError, DeviceLostError : the engine or the kernels failed.
    MissingExtraError : TensorRT, cuda-python or NVRTC is not installed.
    """
    tally = ClipTally(max_nonfinite_share)
    _check_settings(precision, max_batch, activation_bytes)
    require_collecting_gpu(device)
    feeds, model = as_feeds(feeds), load_model(model)
    chosen = flavor if isinstance(flavor, Flavor) else select(flavor)
    names = tuple(dict.fromkeys(tensors))
    check_names(model, names)
    set_device(device)
    plan = plan_collection(
        model,
        feeds,
        names,
        max_batch=max_batch,
        activation_bytes=activation_bytes or int(free_memory_bytes() * _ACTIVATION_SHARE),
        item_share=0.5 if precision == "float16" else 1.0,
    )
    engine = build_observed(
        model, names, plan, flavor=chosen, precision=precision, optimization_level=optimization_level
    )
    with DeviceCollector(model, names, plan, chosen, engine, device=device) as collector:
        collector.run(feeds, tally, on_progress)
        num_clips = tally.finish(feeds)
        return Observations(
            tensors=collector.histograms(),
            model_sha256=model_sha256 or model_digest(model),
            feeds_sha256=feeds.digest,
            num_clips=num_clips,
            rejected=tally.rejected,
        )


def require_collecting_gpu(device: int = 0) -> None:
    """Raise NoGpuError where there is no GPU to collect on."""
    require_gpu("calibrate on", device=device, instead=_INSTEAD, settings=("collect_on",))


def build_observed(
    model: onnx.ModelProto,
    names: Sequence[str],
    plan: CollectionPlan,
    *,
    flavor: Flavor,
    precision: CollectingPrecision = "float32",
    optimization_level: int | None = None,
) -> bytes:
    """Build the engine that shows the named tensors, and return its plan.

    Parameters
    ----------
    model : the network.
    names : tensors to show; inputs among them are there anyway.
    plan : the shapes to accept.
    flavor, precision, optimization_level : as for `collect_on_gpu`.

    Raises
    ------
    ConfigError : the library has no flag for half precision.
    CalibrationError, BuildError, NoGpuError : as for `collect_on_gpu`.
    """
    if precision == "float16" and not flavor.has_precision_flags:
        raise ConfigError(
            f"precision 'float16': {flavor} computes in the types of the network, which are FP32",
            hint="collect in 'tf32', or in 'float32'",
        )
    inputs = {spec.name for spec in model_inputs(model)}
    request = BuildRequest(
        model=model,
        precision="float16" if precision == "float16" else "float32",
        profiles=[triples(profile.shapes) for profile in plan.profiles],
        options={
            **({} if optimization_level is None else {"optimization_level": optimization_level}),
            **({"tf32": False} if precision == "float32" else {}),
        },
        observed=tuple(name for name in names if name not in inputs),
    )
    return build_plan(flavor, request).plan


def _check_settings(precision: str, max_batch: int | None, activation_bytes: int | None) -> None:
    if precision not in get_args(CollectingPrecision):
        choices = ", ".join(map(repr, get_args(CollectingPrecision)))
        raise ConfigError(f"precision must be one of {choices}, got {precision!r}")
    for name, value in (("max_batch", max_batch), ("activation_bytes", activation_bytes)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value!r}")
