"""TensorRT 8.6: as 10 in precision, but networks must say that their batch is explicit."""

from __future__ import annotations

from typing import Any, ClassVar

from trtforge.nvidia.v10 import V10


class V8(V10):
    """TensorRT 8.6."""

    has_int64: ClassVar[bool] = False
    has_debug_tensors: ClassVar[bool] = False
    needs_explicit_batch_flag: ClassVar[bool] = True
    max_onnx_opset: ClassVar[int] = 17

    def network_flags(self, trt: Any) -> int:
        """Return the explicit-batch bit."""
        return 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
