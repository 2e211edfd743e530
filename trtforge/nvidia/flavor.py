"""Which of NVIDIA's inference libraries is here, and what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from trtforge._optional import require
from trtforge.errors import ConfigError, MissingExtraError
from trtforge.nvidia.current import current_device
from trtforge.nvidia.devices import Gpu, require_gpu

BUILD_WITHOUT_GPU = (
    "tensorrt-rtx builds engines without a GPU: "
    'python -m pip install "trtforge[rtx]", then flavor="tensorrt_rtx"'
)


@dataclass(frozen=True)
class Validity:
    """What a library says of a plan on this machine, before loading it.

    Parameters
    ----------
    verdict : ``valid``, ``suboptimal``, ``invalid``, or ``unknown`` where it cannot judge.
    reasons : the library's names for what is wrong.
    """

    verdict: str
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.verdict == "unknown" and not self.reasons:
            return "unknown: the library judges an engine only where there is a GPU for it"
        return f"{self.verdict}: {', '.join(self.reasons)}" if self.reasons else self.verdict


class Flavor:
    """One installed library of the TensorRT family: its name, its version, and questions about it.

    This class answers as TensorRT 11 does; a subclass overrides only what differs in its version.

    Parameters
    ----------
    version : the installed version, such as ``10.16.1.11``.
    """

    name: ClassVar[str] = "tensorrt"
    distributions: ClassVar[tuple[str, ...]] = ("tensorrt", "tensorrt_cu13", "tensorrt_cu12", "tensorrt_cu11")
    generation: ClassVar[str] = "TensorRT 11"

    strongly_typed_only: ClassVar[bool] = True
    has_precision_flags: ClassVar[bool] = False
    has_calibrators: ClassVar[bool] = False
    has_int64: ClassVar[bool] = True
    has_debug_tensors: ClassVar[bool] = True
    has_progress_monitor: ClassVar[bool] = True
    has_attention: ClassVar[bool] = True
    has_allocation_strategies: ClassVar[bool] = True
    needs_explicit_batch_flag: ClassVar[bool] = False
    reads_every_quantized_convolution: ClassVar[bool] = True
    builds_without_gpu: ClassVar[bool] = False
    targets_compute_capabilities: ClassVar[bool] = False
    portable_across_systems: ClassVar[bool] = False
    # Types that it quantizes to, as onnx.TensorProto names them.
    quantized_types: ClassVar[tuple[str, ...]] = ("INT8", "FLOAT8E4M3FN", "INT4", "FLOAT4E2M1")
    has_half_scales: ClassVar[bool] = True
    reads_stored_weights: ClassVar[bool] = True
    max_onnx_opset: ClassVar[int] = 25
    # Widths of heads that the fused kernels of ``Attention`` take, in FP16 and BF16; None where not known.
    attention_head_sizes: ClassVar[range | None] = None
    # Optimization levels worth another try where a Q/DQ network has no implementation at the level asked for.
    other_levels: ClassVar[tuple[int, ...]] = ()

    def __init__(self, version: str) -> None:
        self.version = version

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.version!r})"

    def module(self) -> Any:
        """Import and return the vendor's Python module.

        Raises
        ------
        MissingExtraError : it is installed, but cannot be loaded.
        """
        try:
            return require(self.name, f"use {self}")
        except MissingExtraError:
            raise
        except (ImportError, OSError) as error:
            raise MissingExtraError(
                f"{self} is installed, but cannot be loaded: {error}",
                hint="install its libraries for this Python and CUDA version, or use another flavor",
                settings=("flavor",),
            ) from error

    def require_gpu(self, purpose: str, *, device: int = 0) -> Gpu:
        """Return GPU ``device``; raise NoGpuError with what can be done without one."""
        return require_gpu(purpose, device=device, instead=BUILD_WITHOUT_GPU, settings=("flavor",))

    def check_can_build(self) -> None:
        """Raise NoGpuError where this library needs a GPU to build and there is none."""
        if not self.builds_without_gpu:
            self.require_gpu(f"build with {self}")

    def strongly_typed(self) -> Flavor:
        """Return the flavor that builds what the network's types say, which this one does.

        Raises
        ------
        ConfigError : the library cannot.
        """
        return self

    def network_flags(self, trt: Any) -> int:
        """Return the bits that ``create_network`` needs."""
        return 0

    def set_precision(self, trt: Any, config: Any, precision: str) -> None:
        """Set the builder flags that ``precision`` needs; none where the network's types decide."""

    def share_profiles(self, trt: Any, config: Any) -> None:
        """Let execution contexts of the engine use one optimization profile at a time, as they do anyway."""

    def set_compute_capabilities(self, trt: Any, config: Any, wanted: Sequence[str]) -> None:
        """Set the GPU generations to build for; ``wanted`` empty means the library's default.

        Raises
        ------
        ConfigError : the library cannot build for them.
        """
        if wanted:
            raise ConfigError(
                f"compute_capabilities={tuple(wanted)}: {self} builds only for the GPU it runs on",
                hint="leave it empty, or build with tensorrt_rtx",
                settings=("compute_capabilities", "flavor"),
            )

    def built_for(self, wanted: Sequence[str], hardware_compatibility: str | None = None) -> tuple[str, ...]:
        """Return the compute capabilities that an engine built here runs on; ``8.0+`` includes all above."""
        if hardware_compatibility == "ampere_plus":
            return ("8.0+",)
        gpu = self.require_gpu(f"build with {self}", device=current_device())
        return (gpu.compute_capability,)

    def can_load(self, library: str, version: str) -> bool:
        """Say whether this library accepts a plan that ``library`` of ``version`` wrote."""
        return (library, version) == (self.name, self.version)

    def runs_on(self, compute_capability: str, built_for: Sequence[str]) -> bool:
        """Say whether a GPU's compute capability is among the targets, or above an open-ended one."""
        return runs_on_any(compute_capability, built_for)

    def validity(self, plan: bytes) -> Validity:
        """Ask the library what it thinks of a plan; ``unknown`` where it has no such question."""
        return Validity("unknown")


def runs_on_any(compute_capability: str, targets: Sequence[str]) -> bool:
    """Say whether a compute capability is among targets, or above an open-ended one such as ``12.0+``."""
    if compute_capability in targets:
        return True
    open_ended = [target[:-1] for target in targets if target.endswith("+")]
    return any(_number(compute_capability) >= _number(target) for target in open_ended)


def _number(compute_capability: str) -> tuple[int, int]:
    major, minor = compute_capability.split(".")
    return int(major), int(minor)
