"""TensorRT 10: weak typing with precision flags is still there, and 64-bit integers are new."""

from __future__ import annotations

from typing import Any, ClassVar

from trtforge.nvidia.flavor import Flavor


class V10(Flavor):
    """TensorRT 10.x."""

    generation: ClassVar[str] = "TensorRT 10"
    strongly_typed_only: ClassVar[bool] = False
    has_precision_flags: ClassVar[bool] = True
    has_calibrators: ClassVar[bool] = True
    max_onnx_opset: ClassVar[int] = 24

    def strongly_typed(self) -> Flavor:
        """Return the flavor that takes the network's types as they are."""
        return StronglyTypedV10(self.version)

    def set_precision(self, trt: Any, config: Any, precision: str) -> None:
        """Allow the types below FP32; INT8 needs FP16 as well, or what is not quantized runs in FP32."""
        if precision in ("float16", "int8"):
            config.set_flag(trt.BuilderFlag.FP16)
        if precision == "int8":
            config.set_flag(trt.BuilderFlag.INT8)


class StronglyTypedV10(Flavor):
    """TensorRT 10.x that is asked for strong typing; it then does as TensorRT 11."""

    generation: ClassVar[str] = "TensorRT 10"
    max_onnx_opset: ClassVar[int] = 24

    def network_flags(self, trt: Any) -> int:
        """Return the bit of strong typing."""
        return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
