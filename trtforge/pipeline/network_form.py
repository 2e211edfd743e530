"""The form in which each library wants a network of a precision: typed, with Q/DQ pairs, or as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trtforge.calibration import Observations
from trtforge.engine import BuildConfig
from trtforge.engine.narrow_types import WEIGHT_ONLY
from trtforge.graph import Attention, KeepFloat, describe, prepare
from trtforge.nvidia import Flavor
from trtforge.pipeline.lowering import lower
from trtforge.pipeline.quantization import quantize, quantize_weights, rest_for
from trtforge.report.formatting import precision_name
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx


def network_for(
    source: onnx.ModelProto,
    scales: Scales | None,
    observations: Observations | None,
    config: BuildConfig,
    flavor: Flavor,
    exclude: Sequence[str],
    keep_float: KeepFloat,
    attention: Attention,
    keep_float32: Sequence[str],
) -> onnx.ModelProto:
    """Write the network in the form that the library wants for the precision of ``config``.

    Parameters
    ----------
    source : the network in FP32.
    scales : ranges of the quantized tensors; None for a precision that has none.
    observations : what the clips showed, None where nothing was observed; tells what FP16 cannot hold.
    config, flavor : the precision and the library.
    exclude, keep_float, attention, keep_float32 : as for `trtforge.compile`.
    """
    precision = str(config.precision)
    if precision in WEIGHT_ONLY:
        return quantize_weights(
            source,
            WEIGHT_ONLY[precision],
            block_size=config.weight_block_size,
            exclude=exclude,
            keep_float32=keep_float32,
            observations=observations,
        )
    if scales is not None:
        rest = rest_for(flavor)
        return quantize(
            source,
            scales,
            rest=rest,
            exclude=exclude,
            keep_float=keep_float,
            attention=attention,
            keep_float32=keep_float32,
            observations=observations if rest == "float16" else None,
            to="float8" if precision == "float8" else "int8",
        )
    if flavor.strongly_typed_only and precision == "float16":
        return lower(source, "float16", keep_float32=keep_float32, observations=observations)
    if flavor.strongly_typed_only and precision == "bfloat16":
        return lower(source, "bfloat16", keep_float32=keep_float32)
    return prepare(source)


def count_layers(network: onnx.ModelProto) -> str:
    """Say how many layers of a network are of each precision."""
    found = describe(network)
    text = ", ".join(f"{n} layers {precision_name(kind)}" for kind, n in found.counts.items())
    narrow = [f"{n} with weights in {precision_name(kind)}" for kind, n in found.stored_narrow.items()]
    return ", ".join([text, *narrow])
