"""The kinds of features that a network may name in its metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trtforge.audio.features import LogMel
from trtforge.errors import ModelError
from trtforge.model import FEATURES_KEY, ModelSource, TensorSpec, load_model, model_inputs, model_metadata


class Features(Protocol):
    """What turns the samples of a clip into the input of a network.

    An implementation is immutable, and its ``repr`` names every setting: feeds are identified by it.
    """

    @property
    def kind(self) -> str:
        """Name under which networks ask for these features."""
        ...

    @property
    def sampling_rate(self) -> int:
        """Sampling rate of the audio that is taken, in Hz."""
        ...

    @property
    def input_name(self) -> str:
        """The network's input that takes the features."""
        ...

    @property
    def min_num_samples(self) -> int:
        """Samples of the shortest clip worth feeding."""
        ...

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames that a clip of ``num_samples`` gives."""
        ...

    def __call__(self, audio: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Turn floating [num_samples] into float32 [..., num_frames]."""
        ...

    def check(self, inputs: Sequence[TensorSpec]) -> None:
        """Raise `ModelError` unless a network with these inputs takes these features."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the kind and the settings as plain JSON values."""
        ...


def features_for_model(model: ModelSource) -> Features:
    """Read the features that a network names in its metadata, and check that they fit its input.

    Parameters
    ----------
    model : path of an ONNX file, or the network in memory.

    Raises
    ------
    ModelError : the network cannot be read, does not name its features, names a kind that is not known, or
        does not fit them.
    """
    network = load_model(model)
    text = model_metadata(network).get(FEATURES_KEY)
    if text is None:
        raise ModelError(
            f"the network does not say how its input is made: its metadata has no {FEATURES_KEY!r}",
            hint="state it once, as it was trained: trtforge annotate MODEL --sampling-rate 16000 "
            "--hop-length 160 -o ONNX, or in Python trtforge.annotate with "
            "LogMel(sampling_rate=16000, num_mels=80)",
        )
    source = f"the network's metadata {FEATURES_KEY!r}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{source} is not JSON: {error}") from error
    features = features_from_json(value, source=source)
    features.check(model_inputs(network))
    return features


def features_from_json(value: Any, *, source: str = "value") -> Features:
    """Make the features that plain JSON values describe.

    Parameters
    ----------
    value : ``{"kind": NAME, ...settings}``.
    source : what errors name as the origin of the value.

    Raises
    ------
    ModelError : the kind is not known, or its settings are wrong.
    """
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelError(f"{source} names features of kind {kind!r}; known are: {', '.join(sorted(_KINDS))}")
    return _KINDS[kind](value, source)


_KINDS: Mapping[str, Callable[[Any, str], Features]] = {
    LogMel.kind: lambda value, source: LogMel.from_json(value, source=source),
}
