"""TensorRT 11: strongly typed only, no precision flags, no calibrators."""

from __future__ import annotations

from trtforge.nvidia.flavor import Flavor


class V11(Flavor):
    """TensorRT 11.x, which the base class describes."""
