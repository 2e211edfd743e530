"""What tests on a GPU need, and what they say where it is missing."""

from __future__ import annotations

from trtforge._optional import is_installed
from trtforge.nvidia import available, gpus


def why_not(*modules: str) -> str | None:
    """Say why engines cannot be built and run here with TensorRT and these modules, or return None."""
    if not gpus():
        return "CUDA finds no GPU"
    if not any(flavor.name == "tensorrt" for flavor in available()):
        return "tensorrt is not installed"
    missing = [module for module in ("cuda.bindings.runtime", *modules) if not is_installed(module)]
    return f"{', '.join(missing)} not installed" if missing else None
