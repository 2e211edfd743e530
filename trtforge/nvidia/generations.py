"""The GPUs that people know by name, by compute capability."""

from __future__ import annotations

from collections.abc import Sequence

from trtforge.nvidia.flavor import runs_on_any

# NVIDIA, "CUDA GPU Compute Capability".
GPUS = {
    "7.0": "V100",
    "7.5": "T4, RTX 20",
    "8.0": "A100, A30",
    "8.6": "A10, A40, RTX 30",
    "8.9": "L4, L40S, RTX 40",
    "9.0": "H100, H200",
    "10.0": "B200, GB200",
    "10.3": "B300, GB300",
    "12.0": "RTX 50, RTX PRO 6000 Blackwell",
    "12.1": "DGX Spark",
}


def cannot_run_on(built_for: Sequence[str]) -> tuple[str, ...]:
    """Name the GPUs that an engine does not run on.

    Parameters
    ----------
    built_for : compute capabilities of the engine; ``12.0+`` stands for 12.0 and above.

    Returns
    -------
    Such as ``9.0 (H100, H200)``, the oldest first.
    """
    return tuple(
        f"{capability} ({names})"
        for capability, names in GPUS.items()
        if not runs_on_any(capability, built_for)
    )
