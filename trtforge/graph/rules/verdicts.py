"""What a rule reads, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trtforge.graph.index import GraphIndex
from trtforge.graph.tensor_types import ValueType, infer_types

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class View:
    """A graph as rules see it: its wiring, and the types of its tensors.

    Parameters
    ----------
    index : who makes and who reads each tensor.
    types : type of each tensor that can be inferred.
    """

    index: GraphIndex
    types: dict[str, ValueType]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> View:
        """Look at a network.

        Raises
        ------
        ModelError : the graph's types contradict each other.
        """
        return cls(GraphIndex(model.graph), infer_types(model))

    def is_float32(self, name: str) -> bool:
        """Say whether a tensor is known to be float32."""
        import onnx

        read = self.types.get(name)
        return read is not None and read.elem_type == onnx.TensorProto.FLOAT

    def is_constant(self, name: str) -> bool:
        """Say whether a tensor is an initializer."""
        return name in self.index.initializers

    def shape(self, name: str) -> tuple[int | str | None, ...] | None:
        """Return a tensor's shape as far as it is known, None where not even the rank is."""
        read = self.types.get(name)
        return None if read is None else read.shape


@dataclass(frozen=True)
class Layer:
    """A node that may be quantized.

    Parameters
    ----------
    activations : names of the tensors it reads quantized, each with one scale.
    weight : name of its constant weight; None where it has none.
    axis : axis of the weight's output channels; None for one scale.
    """

    activations: tuple[str, ...]
    weight: str | None = None
    axis: int | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a node stays in floating point."""

    reason: str


NOT_FLOAT32 = Refusal("its input is not float32")
"""Of what reads FP16, double or integers."""
