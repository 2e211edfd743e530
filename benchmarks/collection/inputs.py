"""The networks of the benchmark, the windows they run on, and the tensors that each contender observes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.networks.whisper_encoder import MEL_BINS, NUM_MEL_FRAMES, whisper_encoder
from trtforge.feeds import Feed, Feeds
from trtforge.graph import prepare
from trtforge.model import load_model

if TYPE_CHECKING:
    import onnx

ROOT = Path(__file__).parents[2]
NETWORKS = ("whisper_tiny_encoder", "recogniser")
# Distinct windows kept in memory; further ones are these again, louder or softer.
_NUM_DISTINCT = 8
_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class Windows:
    """A number of 30-second windows, or of clips, made on the way so that memory does not grow with them.

    Parameters
    ----------
    network : one of `NETWORKS`.
    num_windows : how many.
    """

    def __init__(self, network: str, num_windows: int) -> None:
        self.digest = f"{network}-{num_windows}".encode().hex().ljust(64, "0")[:64]
        self._num_windows = num_windows
        self._distinct = _noise() if network == "whisper_tiny_encoder" else _speech()

    def __len__(self) -> int:
        return self._num_windows

    def __iter__(self) -> Iterator[Feed]:
        for index in range(self._num_windows):
            values = self._distinct[index % len(self._distinct)]
            gain = np.float32(1 + (index // len(self._distinct)) % 16 / 32)
            yield Feed({"mel": values * gain}, (f"window-{index}",))


def make_network(name: str) -> onnx.ModelProto:
    """Return a network of the benchmark, for one window at a time."""
    if name == "whisper_tiny_encoder":
        return whisper_encoder()
    # Folded constants and batch normalisation, which every calibrator would otherwise see as tensors.
    return prepare(load_model(ROOT / "examples/models/asr_en/asr_en.onnx"))


def layer_tensors(model: onnx.ModelProto, *, attention: bool) -> list[str]:
    """Return inputs and outputs of convolutions and matrix products, as ONNX Runtime's calibrator takes them.

    Parameters
    ----------
    attention : whether products of two activations count too.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    names: dict[str, None] = {}
    for node in model.graph.node:
        if node.op_type in _OPERATORS and (attention or constants & set(node.input)):
            names |= dict.fromkeys(name for name in (*node.input, *node.output) if name not in constants)
    return [name for name in names if name]


@cache
def has_attention(name: str) -> bool:
    """Whether products of two activations are among the layers of a network of the benchmark."""
    model = make_network(name)
    return layer_tensors(model, attention=True) != layer_tensors(model, attention=False)


def joined_windows(feeds: Feeds, num_frames: int) -> Iterator[NDArray[np.float32]]:
    """Put the clips one after another and cut them at ``num_frames``; what is left at the end is dropped.

    Parameters
    ----------
    feeds : clips of one input, float32 [rows, bins, frames].
    num_frames : length of a window, in frames.

    Yields
    ------
    float32 [bins, num_frames].
    """
    kept: NDArray[np.float32] | None = None
    for feed in feeds:
        (array,) = feed.arrays.values()
        for row, values in enumerate(np.asarray(array, np.float32)):
            true = values[:, : feed.num_frames[row] if feed.num_frames else None]
            kept = true if kept is None else np.concatenate([kept, true], axis=1)
            while kept.shape[1] >= num_frames:
                yield np.ascontiguousarray(kept[:, :num_frames])
                kept = kept[:, num_frames:]


def _noise() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((1, MEL_BINS, NUM_MEL_FRAMES), np.float32) for _ in range(_NUM_DISTINCT)]


def _speech() -> list[NDArray[np.float32]]:
    from trtforge.audio import ClipSet, LogMel

    features = LogMel.for_model(ROOT / "examples/models/asr_en/asr_en.onnx")
    clips = ClipSet.load(ROOT / "calibration_sets/podcast_en").feeds(features)
    # Other calibrators join clips, and fail on lengths that differ.
    return [window[np.newaxis] for window in islice(joined_windows(clips, NUM_MEL_FRAMES), _NUM_DISTINCT)]
