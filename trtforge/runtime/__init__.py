"""Run networks: engines on a GPU, and the same networks in ONNX Runtime for reference."""

from trtforge.runtime.device_collection import collect_on_gpu
from trtforge.runtime.reference import OnnxRunner
from trtforge.runtime.session import Session

__all__ = ["OnnxRunner", "Session", "collect_on_gpu"]
