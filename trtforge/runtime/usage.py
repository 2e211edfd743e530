"""What a session tells of its memory and of its layers' times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerTime:
    """A layer of an engine and its mean time in milliseconds."""

    name: str
    ms: float


@dataclass(frozen=True)
class SessionMemory:
    """Memory that a session holds, in bytes.

    Parameters
    ----------
    engine_bytes : on the GPU for the engine, weights above all: by how much free memory fell on loading it,
        which other programs on the GPU can falsify.
    scratch_bytes : on the GPU for activations; contexts that never run at once share it.
    tensor_bytes : on the GPU for inputs and outputs, device arrays of the caller included.
    pinned_bytes : page-locked on the host for inputs and outputs.
    num_contexts : execution contexts, of each profile used and of each CUDA graph.
    """

    engine_bytes: int
    scratch_bytes: int
    tensor_bytes: int
    pinned_bytes: int
    num_contexts: int

    @property
    def device_bytes(self) -> int:
        """All of it on the GPU."""
        return self.engine_bytes + self.scratch_bytes + self.tensor_bytes
