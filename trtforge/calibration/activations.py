"""Run a network in ONNX Runtime and hand out its activations, a bounded number of bytes at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trtforge._ort import make_session, reason_of
from trtforge.calibration.padding import Array
from trtforge.calibration.segment_models import NodeList
from trtforge.calibration.segments import Segment, held_bytes, plan_segments
from trtforge.calibration.shape_inference import Shape, ShapeInference
from trtforge.errors import CalibrationError, ConfigError
from trtforge.feeds import Arrays

if TYPE_CHECKING:
    import onnx

# What a plan made for one feed leaves free, so that a somewhat longer one needs no other plan.
_RESERVE = 0.25
# The types of tensors that ONNX Runtime's bindings turn into NumPy arrays.
_GIVEN = frozenset(
    {"BOOL", "DOUBLE", "FLOAT", "FLOAT16", "INT16", "INT32", "INT64", "INT8", "STRING", "UINT16", "UINT32",
     "UINT64", "UINT8"}
)  # fmt: skip
_CUT = "if the network takes fewer frames at most, cut the clips to that, or leave longer ones out"


class ActivationSource:
    """A network that gives the observed tensors of each feed, each computed once.

    Nodes that no observed tensor depends on are not run. Where the observed tensors of a feed would exceed
    the bound, the network is cut into segments; see `trtforge.calibration.segments.plan_segments`. The plan
    is made for the first feed and again for a feed that would not fit.

    Parameters
    ----------
    model : the network.
    names : tensors to give out, network inputs excepted.
    activation_bytes : bound on the observed tensors, and those that later segments need, held at once.

    Raises
    ------
    ConfigError : ``activation_bytes`` is below 1.
    CalibrationError : a tensor is of a type that ONNX Runtime cannot give out, such as bfloat16.
    """

    def __init__(self, model: onnx.ModelProto, names: Sequence[str], *, activation_bytes: int) -> None:
        check_activation_bytes(activation_bytes)
        self._nodes = NodeList(model, names)
        self._names = frozenset(names)
        self._activation_bytes = activation_bytes
        self._inference = ShapeInference(model)
        self._movable = {
            name: value for name, value in self._inference.values.items() if _kind(value) in _GIVEN
        }
        for name in names:
            if (value := self._inference.values.get(name)) is not None and name not in self._movable:
                raise CalibrationError(
                    f"tensor {name!r} cannot be observed: ONNX Runtime does not give out "
                    f"{_kind(value).lower()}",
                    hint="calibrate the network in FP32, before it is typed",
                )
        self._planned_for: set[tuple[tuple[str, Shape], ...]] = set()
        self._segments: tuple[Segment, ...] = ()
        self._sessions: list[Any] = []

    @property
    def num_segments(self) -> int:
        """Number of segments that the last feed was run in."""
        return len(self._segments)

    def run(
        self, arrays: Arrays, clip_ids: Sequence[str], num_frames: Sequence[int] = ()
    ) -> Iterator[dict[str, Array]]:
        """Yield the observed tensors segment by segment; drop each before asking for the next.

        Parameters
        ----------
        arrays : inputs of the network.
        clip_ids : the clips that the arrays hold, for messages.
        num_frames : their true lengths, for messages; empty where nothing is padded.

        Raises
        ------
        CalibrationError : the network fails; the message names the clips and their lengths.
        ModelError : ONNX Runtime cannot load the network.
        """
        self._plan(arrays)
        held = {name: np.asarray(array) for name, array in arrays.items()}
        last_taken = {name: at for at, segment in enumerate(self._segments) for name in segment.takes}
        for at, (segment, session) in enumerate(zip(self._segments, self._sessions, strict=True)):
            try:
                made = _run(session, held, segment.gives)
            except Exception as error:  # the bindings raise their own unexported kinds
                raise CalibrationError(
                    f"the network fails on clips {_named(clip_ids, num_frames)}: {reason_of(error)}",
                    hint=_CUT if num_frames else None,
                ) from error
            held |= {name: made[name] for name in segment.gives if last_taken.get(name, -1) > at}
            for name in segment.takes:
                if last_taken[name] == at:
                    del held[name]
            observed = {name: made[name] for name in segment.gives if name in self._names}
            del made
            yield observed
            del observed

    def _plan(self, arrays: Arrays) -> None:
        shapes = tuple(sorted((name, array.shape) for name, array in arrays.items()))
        if shapes in self._planned_for:
            return
        self._planned_for.add(shapes)
        sizes = self._inference.sizes(dict(shapes))
        before = self._held_bytes(self._segments, sizes)
        if self._segments and before <= self._activation_bytes:
            return
        planned = self._cut(sizes, self._activation_bytes)
        if len(planned) > 1:
            planned = self._cut(sizes, int(self._activation_bytes * (1 - _RESERVE)))
        if self._segments and self._held_bytes(planned, sizes) >= before:
            return
        self._segments, self._sessions = planned, []
        for segment in planned:
            network = self._nodes.network(segment, self._movable)
            self._sessions.append(make_session(network, purpose="calibrate", in_turns=True))

    def _held_bytes(self, segments: tuple[Segment, ...], sizes: dict[str, int]) -> int:
        return held_bytes(segments, self._nodes.steps, self._names, sizes)

    def _cut(self, sizes: dict[str, int], activation_bytes: int) -> tuple[Segment, ...]:
        return plan_segments(
            self._nodes.steps,
            self._names,
            sizes,
            max_bytes=activation_bytes,
            movable=self._movable.keys(),
        )


def check_activation_bytes(activation_bytes: int) -> None:
    """Raise `ConfigError` unless the bound is at least a byte."""
    if activation_bytes < 1:
        raise ConfigError(
            f"activation_bytes must be at least 1, got {activation_bytes!r}", settings=("activation_bytes",)
        )


def _kind(value: onnx.ValueInfoProto) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type))


def _run(session: Any, held: dict[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
    takes = {value.name: held[value.name] for value in session.get_inputs()}
    return dict(zip(outputs, map(np.asarray, session.run(list(outputs), takes)), strict=True))


def _named(clip_ids: Sequence[str], num_frames: Sequence[int]) -> str:
    if not num_frames:
        return ", ".join(clip_ids)
    rows = zip(clip_ids, num_frames, strict=True)
    return ", ".join(f"{clip_id} ({frames} frames)" for clip_id, frames in rows)
