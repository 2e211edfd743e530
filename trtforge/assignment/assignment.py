"""An assignment on disk: which layers of a network are INT8, and what that was found to cost."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from typing import Any

from trtforge._files import read_json, write_json
from trtforge.assignment.budget import AccuracyBudget
from trtforge.assignment.score import Score
from trtforge.errors import QuantizationError

_FORMAT = "trtforge.assignment/1"


@dataclass(frozen=True)
class Assignment:
    """Which layers are INT8.

    Parameters
    ----------
    int8, keep_float : names of the layers that are INT8, and of those that stay in floating point though they
        could be INT8; a nameless node goes by its output.
    int8_share : share of the multiply-accumulates of both that is INT8.
    budget : what it had to meet.
    score : what it cost on the clips that it was searched on.
    model_sha256, scales_sha256, feeds_sha256 : digests of network, INT8 ranges and those clips.
    """

    int8: tuple[str, ...]
    keep_float: tuple[str, ...]
    int8_share: float
    budget: AccuracyBudget
    score: Score
    model_sha256: str
    scales_sha256: str
    feeds_sha256: str

    def __repr__(self) -> str:
        total = len(self.int8) + len(self.keep_float)
        return (
            f"Assignment({len(self.int8)} of {total} layers INT8, {100 * self.int8_share:.1f} % of the work)"
        )

    def exclude_for(self, model_sha256: str) -> tuple[str, ...]:
        """Return the layers to exclude from quantization, as patterns.

        Raises
        ------
        QuantizationError : the assignment is of another network.
        """
        if model_sha256 != self.model_sha256:
            raise QuantizationError(
                f"the assignment belongs to another network: {self.model_sha256[:12]}, this one is "
                f"{model_sha256[:12]}",
                hint="search this network; what a layer costs does not carry over",
                settings=("assignment",),
            )
        return tuple(glob.escape(name) for name in self.keep_float)

    def to_json(self) -> dict[str, Any]:
        """Return the assignment as plain JSON values."""
        return {
            "format": _FORMAT,
            **vars(self),
            "budget": self.budget.to_json(),
            "score": self.score.to_json(),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the assignment as JSON; an existing file is replaced whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Assignment:
        """Read an assignment that `save` wrote.

        Raises
        ------
        QuantizationError : the file is not one.
        """
        value = read_json(path, what="assignment", error=QuantizationError)
        return cls.from_json(value, source=os.fspath(path))

    @classmethod
    def from_json(cls, value: Any, *, source: str = "value") -> Assignment:
        """Check plain JSON values and make the assignment of them."""
        if not isinstance(value, dict) or value.get("format") != _FORMAT:
            raise QuantizationError(f'{source} is no assignment: it lacks "format": "{_FORMAT}"')
        try:
            return cls(
                tuple(map(str, value["int8"])),
                tuple(map(str, value["keep_float"])),
                float(value["int8_share"]),
                AccuracyBudget.from_json(value["budget"]),
                Score.from_json(value["score"]),
                str(value["model_sha256"]),
                str(value["scales_sha256"]),
                str(value["feeds_sha256"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise QuantizationError(f"{source} is a damaged assignment: {error!r}") from error
