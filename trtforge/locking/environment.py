"""What of this machine decides how an engine is built and runs."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from dataclasses import dataclass

from trtforge.nvidia.current import current_gpu

# Distributions that may change what is built, observed or computed.
PACKAGES = (
    "cuda-bindings",
    "cuda-python",
    "librosa",
    "ml-dtypes",
    "numba",
    "numpy",
    "nvidia-cuda-nvrtc",
    "onnx",
    "onnx-graphsurgeon",
    "onnxruntime",
    "soundfile",
    "soxr",
    "tensorrt",
    "tensorrt-cu11",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "tensorrt-rtx",
    "torch",
    "trtforge",
)


@dataclass(frozen=True)
class LockedGpu:
    """A GPU, as far as an engine cares.

    Parameters
    ----------
    name, compute_capability, driver : as `trtforge.nvidia.Gpu` has them.
    """

    name: str
    compute_capability: str
    driver: str

    def __str__(self) -> str:
        return f"{self.name}, compute capability {self.compute_capability}, driver {self.driver}"


def python_version() -> str:
    """Return Python's version without its last part, such as ``3.11``."""
    return ".".join(platform.python_version_tuple()[:2])


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of those distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def gpu_here() -> LockedGpu | None:
    """Return the calling thread's GPU, None where there is none."""
    gpu = current_gpu()
    return None if gpu is None else LockedGpu(gpu.name, gpu.compute_capability, gpu.driver)
