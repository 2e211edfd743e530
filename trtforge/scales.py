"""Scales: what calibration writes, and what graphs, engines and reports read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from trtforge._files import read_json, write_json
from trtforge.errors import ScalesError

INT8_MAX = 127
_FORMAT = "trtforge.scales/1"


@dataclass(frozen=True)
class TensorScale:
    """The INT8 range chosen for one tensor.

    Parameters
    ----------
    amax : largest magnitude that INT8 can represent, in activation units; finite and positive.
    observed_max : largest magnitude seen, in activation units.
    clipped_share : share of the observed values above ``amax``, 0 to 1.
    floored : True where nothing but zeros was seen, so that ``amax`` is a stand-in.
    """

    amax: float
    observed_max: float
    clipped_share: float = 0.0
    floored: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amax) and self.amax > 0):
            raise ScalesError(f"amax must be finite and positive, got {self.amax!r}")
        if not (math.isfinite(self.observed_max) and self.observed_max >= 0):
            raise ScalesError(f"observed_max must be finite and not negative, got {self.observed_max!r}")
        if not 0 <= self.clipped_share <= 1:
            raise ScalesError(f"clipped_share must lie in 0 to 1, got {self.clipped_share!r}")

    @property
    def scale(self) -> float:
        """Step between neighbouring INT8 values: ``amax / 127``."""
        return self.amax / INT8_MAX


@dataclass(frozen=True)
class Scales:
    """INT8 ranges of a network's tensors, and where they come from.

    Parameters
    ----------
    tensors : tensor name to its range.
    method : how the ranges were chosen: ``entropy``, ``percentile``, ``mse`` or ``max``.
    model_sha256 : digest of the network that was calibrated (`trtforge.model.model_digest`).
    feeds_sha256 : digest of the feeds it was calibrated on.
    num_clips : number of clips that were observed.
    rejected : clips that were left out, by id, with the reason.
    """

    tensors: Mapping[str, TensorScale]
    method: str
    model_sha256: str
    feeds_sha256: str
    num_clips: int
    rejected: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> TensorScale:
        try:
            return self.tensors[name]
        except KeyError:
            raise ScalesError(
                f"no scale for tensor {name!r} among {len(self.tensors)}",
                hint="calibrate the network that is being quantized, with this tensor observed",
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __repr__(self) -> str:
        rejected = f", {len(self.rejected)} rejected" if self.rejected else ""
        return (
            f"Scales({len(self)} tensors, method={self.method!r}, num_clips={self.num_clips}{rejected}, "
            f"model={self.model_sha256[:12]}, feeds={self.feeds_sha256[:12]})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return {"format": _FORMAT, **asdict(self)}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record as JSON; an existing file is replaced whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scales:
        """Read a record that `save` wrote.

        Raises
        ------
        ScalesError : the file is not such a record, or a value in it is out of range.
        """
        value = read_json(path, what="scales file", error=ScalesError)
        return cls.from_json(value, source=os.fspath(path))

    @classmethod
    def from_json(cls, value: Any, *, source: str = "value") -> Scales:
        """Check plain JSON values and make the record of them."""
        if not isinstance(value, dict) or value.get("format") != _FORMAT:
            raise ScalesError(f'{source} is not a scales file: it lacks "format": "{_FORMAT}"')
        try:
            return cls(
                tensors={
                    str(name): TensorScale(
                        amax=float(entry["amax"]),
                        observed_max=float(entry["observed_max"]),
                        clipped_share=float(entry["clipped_share"]),
                        floored=bool(entry["floored"]),
                    )
                    for name, entry in value["tensors"].items()
                },
                method=str(value["method"]),
                model_sha256=str(value["model_sha256"]),
                feeds_sha256=str(value["feeds_sha256"]),
                num_clips=int(value["num_clips"]),
                rejected={str(clip): str(reason) for clip, reason in value["rejected"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ScalesError(f"{source} is a damaged scales file: {error!r}") from error
