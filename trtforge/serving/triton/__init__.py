"""Model repositories for NVIDIA's Triton Inference Server: write them, and check them without a server."""

from trtforge.serving.triton.checking import check_model, check_repository
from trtforge.serving.triton.export import export_model
from trtforge.serving.triton.findings import Finding
from trtforge.serving.triton.settings import TritonSettings

__all__ = ["Finding", "TritonSettings", "check_model", "check_repository", "export_model"]
