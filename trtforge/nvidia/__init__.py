"""All that touches NVIDIA's packages: which are here, what they can do, and how each version differs."""

from trtforge.nvidia.devices import Gpu, gpus, require_gpu
from trtforge.nvidia.flavor import Flavor, Validity
from trtforge.nvidia.machine import Capability, Machine, describe_machine
from trtforge.nvidia.selection import available, select

__all__ = [
    "Capability",
    "Flavor",
    "Gpu",
    "Machine",
    "Validity",
    "available",
    "describe_machine",
    "gpus",
    "require_gpu",
    "select",
]
