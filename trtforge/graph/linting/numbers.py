"""Zero points and scales that a library refuses or reads otherwise than ONNX does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trtforge.graph.index import label
from trtforge.graph.linting.findings import LintFinding, Target
from trtforge.graph.linting.quantizers import Quantizers


def check_numbers(quantizers: Quantizers, target: Target) -> Iterator[LintFinding]:
    """Report zero points that are not zero, UINT8, and scales that are computed, infinite or not positive."""
    for node in quantizers.nodes:
        name = label(node)
        zero_point = quantizers.index.constant(node.input[2]) if len(node.input) > 2 else None
        if zero_point is not None and np.any(zero_point != 0):
            yield LintFinding(
                "zero-point",
                "error",
                name,
                f"the zero point of {name!r} is not 0, and TensorRT quantizes symmetrically",
                "quantize with symmetric ranges",
            )
        elif quantizers.type_name(node) == "UINT8":
            yield LintFinding(
                "unsigned",
                "error",
                name,
                f"{name!r} is UINT8 to ONNX, 0 to 255; TensorRT reads it as INT8, -128 to 127, and computes "
                "other numbers",
                "give it an INT8 zero point of 0",
            )
        scale = quantizers.scale(node)
        if scale is None:
            yield LintFinding(
                "computed-scale",
                "error",
                name,
                f"the scale of {name!r} is computed; TensorRT wants a constant, and TensorRT-RTX 1.7 "
                "crashes on others before a convolution",
                "store the scale, or fold the constants it is computed from",
            )
        elif (wrong := scale[~(np.isfinite(scale) & np.greater(scale, 0))]).size:
            yield LintFinding(
                "scale-not-positive",
                "error",
                name,
                f"a scale of {name!r} is {float(wrong[0]):g}; all must be finite and above zero",
                "give channels of zeros any positive scale",
            )
