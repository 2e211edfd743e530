"""TensorRT 8.6: as 10 in precision; wants the explicit-batch flag and quantized 1-D convolutions as 2-D."""

from __future__ import annotations

from typing import Any, ClassVar

from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.options import check_options
from trtforge.nvidia.v10 import V10


class V8(V10):
    """TensorRT 8.6."""

    generation: ClassVar[str] = "TensorRT 8.6"
    has_int64: ClassVar[bool] = False
    has_debug_tensors: ClassVar[bool] = False
    has_progress_monitor: ClassVar[bool] = False
    has_attention: ClassVar[bool] = False
    has_allocation_strategies: ClassVar[bool] = False
    needs_explicit_batch_flag: ClassVar[bool] = True
    reads_every_quantized_convolution: ClassVar[bool] = False
    quantized_types: ClassVar[tuple[str, ...]] = ("INT8",)
    has_half_scales: ClassVar[bool] = False
    reads_stored_weights: ClassVar[bool] = False
    max_onnx_opset: ClassVar[int] = 17
    other_levels: ClassVar[tuple[int, ...]] = (3, 1, 4)

    def strongly_typed(self) -> Flavor:
        """Refuse: the library has weak typing alone."""
        check_options(self, {"strongly_typed": True})
        return self

    def network_flags(self, trt: Any) -> int:
        """Return the explicit-batch bit."""
        return 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)

    def share_profiles(self, trt: Any, config: Any) -> None:
        """Switch on what later versions always do: several contexts may use one optimization profile."""
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)
