"""From a network in FP32 to one in FP16 or BF16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from trtforge.calibration import Observations
from trtforge.engine.precision import network_precision, observed_magnitudes
from trtforge.errors import ConfigError, QuantizationError
from trtforge.graph import prepare, to_bfloat16, to_float16
from trtforge.graph.precision import require_float32
from trtforge.model import ModelSource, load_model

if TYPE_CHECKING:
    import onnx


def lower(
    model: ModelSource,
    precision: Literal["float16", "bfloat16"] = "float16",
    *,
    keep_io: bool = True,
    keep_float32: Sequence[str] = (),
    observations: Observations | None = None,
) -> onnx.ModelProto:
    """Type a network in FP16 or BF16, with FP32 where numerics or the observed activations demand it.

    Strongly typed libraries (TensorRT 11, TensorRT-RTX) run exactly what this says.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, in FP32.
    precision : ``float16`` or ``bfloat16``.
    keep_io : whether inputs and outputs stay FP32.
    keep_float32 : names or shell patterns of nodes that stay in FP32.
    observations : what `observe` counted with ``tensors="float16"`` or ``"all"``; makers and readers of
        tensors that FP16 cannot hold then stay in FP32 too. BF16 holds them all.

    Returns
    -------
    A new network; the one given is not changed. `trtforge.graph.kept_float32` says which of its nodes stay in
    FP32, and why.

    Raises
    ------
    ModelError : the network cannot be read, or its types contradict each other.
    QuantizationError : the network has no FP32 tensor, or is of the other 16-bit type already; a name matches
        no node, a tensor's dtype cannot be inferred, or a quantized network was to become BF16.
    CalibrationError : the observations belong to another network.
    ConfigError : the precision is none of those, or observations were given for BF16.
    """
    if precision not in ("float16", "bfloat16"):
        raise ConfigError(
            f"precision must be 'float16' or 'bfloat16', got {precision!r}", settings=("precision",)
        )
    if precision == "bfloat16" and observations is not None:
        raise ConfigError(
            "observations have no effect on bfloat16, which holds whatever FP32 holds",
            hint="leave observations out, or ask for float16",
            settings=("observations", "precision"),
        )
    source = load_model(model)
    prepared = prepare(source)
    require_float32(prepared)
    held = network_precision(prepared)
    if held in ("float16", "bfloat16") and held != precision:
        raise QuantizationError(
            f"the network is {held}, and {precision} is made of float32 alone",
            hint="start from the network in FP32",
            settings=("precision",),
        )
    if precision == "bfloat16":
        return to_bfloat16(prepared, keep_io=keep_io, keep_float32=keep_float32)
    magnitudes = observed_magnitudes(observations, source)
    return to_float16(prepared, keep_io=keep_io, keep_float32=keep_float32, magnitudes=magnitudes)
