"""TensorRT for RTX: builds anywhere, for a set of GPU generations; compiles kernels where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from trtforge.errors import ConfigError
from trtforge.nvidia.flavor import Flavor, Validity
from trtforge.nvidia.log import listen, logger_of

# Compute capabilities that an engine runs on unless others are asked for; the last stands for all above too.
_PORTABLE = ("8.0", "8.6", "8.9", "12.0+")


class Rtx(Flavor):
    """TensorRT for RTX 1.x.

    References
    ----------
    NVIDIA, "CPU-Only AOT and TensorRT-RTX Engines", TensorRT for RTX documentation.
    """

    name: ClassVar[str] = "tensorrt_rtx"
    distributions: ClassVar[tuple[str, ...]] = ("tensorrt_rtx", "tensorrt_rtx_cu13", "tensorrt_rtx_cu12")
    generation: ClassVar[str] = "TensorRT-RTX 1"
    builds_without_gpu: ClassVar[bool] = True
    targets_compute_capabilities: ClassVar[bool] = True
    portable_across_systems: ClassVar[bool] = True
    max_onnx_opset: ClassVar[int] = 24
    # As 1.7 builds them.
    attention_head_sizes: ClassVar[range | None] = range(9, 257)

    def set_compute_capabilities(self, trt: Any, config: Any, wanted: Sequence[str]) -> None:
        """Name the GPU generations to build for.

        Raises
        ------
        ConfigError : the library does not know one of them.
        """
        known = {
            f"{name[2:-1]}.{name[-1]}": member
            for name, member in trt.ComputeCapability.__members__.items()
            if name.startswith("SM")
        }
        for capability in wanted:
            if capability not in known:
                raise ConfigError(
                    f"compute_capabilities: {self} cannot build for {capability!r}; "
                    f"it builds for {', '.join(known)}"
                )
        if wanted:
            config.num_compute_capabilities = len(wanted)
        for index, capability in enumerate(wanted):
            if not config.set_compute_capability(known[capability], index):
                raise ConfigError(f"compute_capabilities: {self} refused {capability!r}")

    def built_for(self, wanted: Sequence[str], hardware_compatibility: str | None = None) -> tuple[str, ...]:
        """Return what was asked for, or the portable set."""
        return tuple(wanted) or _PORTABLE

    def validity(self, plan: bytes) -> Validity:
        """Ask the library to read the plan's header; without a GPU it can only tell that it is malformed."""
        trt = self.module()
        listen()
        runtime = trt.Runtime(logger_of(trt))
        verdict, bits = runtime.get_engine_validity(plan)
        reasons = tuple(
            name.lower()
            for name, reason in trt.EngineInvalidityDiagnostics.__members__.items()
            if int(reason) & int(bits)
        )
        if verdict == trt.EngineValidity.INVALID and not reasons:
            return Validity("unknown")
        return Validity(verdict.name.lower(), reasons)
