"""The three networks of a Whisper checkpoint, where they run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ConfigError, ModelError
from trtforge.runtime import OnnxRunner, Session
from trtforge.speech.generation.checkpoints import STEP_GRAPHS
from trtforge.speech.whisper.checkpoint import PARTS

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class WhisperNetworks:
    """The networks, on the CPU or on a GPU.

    Parameters
    ----------
    encoder, decoder, aligner : all of them an `OnnxRunner`, or all a `Session`.
    """

    encoder: Any
    decoder: Any
    aligner: Any
    _resources: ExitStack = field(default_factory=ExitStack, repr=False)

    def encode(self, features: NDArray[np.float32]) -> dict[str, Any]:
        """Return the encoder's outputs, which stay where they are.

        Parameters
        ----------
        features : float32 [windows, bands, frames].
        """
        if isinstance(self.encoder, Session):
            return self.encoder.run({"features": features}, outputs="device")
        return dict(self.encoder.run({"features": features}))

    def align(self, states: Any, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the attention of the alignment heads, float32 [windows, heads, symbols, steps]."""
        attention: NDArray[np.float32] = self.aligner.run({"states": states, "tokens": tokens})["attention"]
        return attention

    def limit(self, part: str, tensor: str, axis: int) -> int | None:
        """Return the largest size of an input's axis that an engine accepts; None on the CPU."""
        network = getattr(self, part)
        if not isinstance(network, Session):
            return None
        return max(profile.shapes[tensor].max[axis] for profile in network.profiles)

    def close(self) -> None:
        """Give back what they hold."""
        self._resources.close()


def open_networks(folder: Path, device: Device) -> WhisperNetworks:
    """Open the networks of a folder that `export_whisper` wrote.

    Raises
    ------
    ConfigError : the device is neither ``cpu`` nor ``gpu``.
    ModelError : a file is missing.
    TrtforgeError : a network or engine cannot be loaded.
    """
    if device not in ("cpu", "gpu"):
        raise ConfigError(f"device must be 'cpu' or 'gpu', got {device!r}", settings=("device",))
    suffix = "onnx" if device == "cpu" else "engine"
    missing = [f"{part}.{suffix}" for part in PARTS if not (folder / f"{part}.{suffix}").is_file()]
    if missing:
        raise ModelError(
            f"{folder} lacks {', '.join(missing)}",
            hint="export_whisper(checkpoint, folder)" if device == "cpu" else "build_whisper(folder)",
        )
    with ExitStack() as stack:
        opened = []
        for part in PARTS:
            path = folder / f"{part}.{suffix}"
            network: Any = (
                OnnxRunner(path)
                if device == "cpu"
                else Session(path, max_contexts=1, cuda_graphs=STEP_GRAPHS if part == "decoder" else 0)
            )
            opened.append(stack.enter_context(network))
        return WhisperNetworks(opened[0], opened[1], opened[2], stack.pop_all())
