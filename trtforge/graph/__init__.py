"""Prepare ONNX graphs for quantization, choose where INT8 goes, and type the rest.

The steps take an ``onnx.ModelProto`` and return another one; none changes what it is given:
`prepare`, then `plan_placement` or `tensors_to_observe`, then `quantize_graph`. `to_float16` and
`to_bfloat16` type a graph without quantizing it; `describe` says what a typed graph asks for, and `lint` what
of it does not suit a library.
"""

from __future__ import annotations

from trtforge.graph.describe import GraphSummary, LayerPrecision, describe
from trtforge.graph.float16_range import Magnitudes, MagnitudesByTensor
from trtforge.graph.float32_nodes import tensors_for_float16
from trtforge.graph.half_products import products_in_float16
from trtforge.graph.kernel_shapes import state_kernel_shapes
from trtforge.graph.linting import LintFinding, Target, lint
from trtforge.graph.placement import (
    Attention,
    KeepFloat,
    Placement,
    PlacementPlan,
    multiplies_activations,
    plan_placement,
    tensors_to_observe,
)
from trtforge.graph.precision import (
    kept_float32,
    to_bfloat16,
    to_float16,
    to_float16_around_quantizers,
)
from trtforge.graph.prepare import prepare, with_constants_folded
from trtforge.graph.quantize import quantize_graph
from trtforge.graph.quantized_types import QuantizedTo
from trtforge.graph.receptive_field import ReceptiveField, receptive_field
from trtforge.graph.two_dimensional import convolutions_in_2d
from trtforge.graph.weight_only import WeightType, quantize_weights_only
from trtforge.graph.weights import QuantizedWeight, quantize_weight
from trtforge.graph.widen import widen_bfloat16, widen_float16

__all__ = [
    "Attention",
    "GraphSummary",
    "KeepFloat",
    "LayerPrecision",
    "LintFinding",
    "Magnitudes",
    "MagnitudesByTensor",
    "Placement",
    "PlacementPlan",
    "QuantizedTo",
    "QuantizedWeight",
    "ReceptiveField",
    "Target",
    "WeightType",
    "convolutions_in_2d",
    "describe",
    "kept_float32",
    "lint",
    "multiplies_activations",
    "plan_placement",
    "prepare",
    "products_in_float16",
    "quantize_graph",
    "quantize_weight",
    "quantize_weights_only",
    "receptive_field",
    "state_kernel_shapes",
    "tensors_for_float16",
    "tensors_to_observe",
    "to_bfloat16",
    "to_float16",
    "to_float16_around_quantizers",
    "widen_bfloat16",
    "widen_float16",
    "with_constants_folded",
]
