"""Run networks: engines on a GPU, and the same networks in ONNX Runtime for reference."""

from trtforge.runtime.reference import OnnxRunner
from trtforge.runtime.session import Session

__all__ = ["OnnxRunner", "Session"]
