"""What calibration observed: one histogram for each tensor, to be merged, saved and chosen from."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trtforge._files import write_bytes
from trtforge.calibration.histogram import Histogram
from trtforge.errors import CalibrationError

_FORMAT = "trtforge.observations/1"
_ARRAYS = {
    "counts": np.dtype(np.int64),
    "exponents": np.dtype(np.int64),
    "num_zeros": np.dtype(np.int64),
    "num_nonfinite": np.dtype(np.int64),
    "observed_max": np.dtype(np.float64),
    "header": np.dtype(np.uint8),
}
_HEADER = {"tensors": list, "model_sha256": str, "feeds_sha256": str, "num_clips": int, "rejected": dict}
# Room for 30 000 tensors; a file that unpacks to more is not one of ours.
_MAX_UNPACKED_BYTES = 1 << 30


@dataclass(frozen=True, repr=False)
class Observations:
    """Histograms of a network's tensors, and where they come from.

    Parameters
    ----------
    tensors : tensor name to the counts of its magnitudes.
    model_sha256 : digest of the network (`trtforge.model.model_digest`).
    feeds_sha256 : digest of the feeds; of merged parts, the sum of theirs modulo 2**256.
    num_clips : number of clips that were counted.
    rejected : clips that were left out, by id, with the reason.
    """

    tensors: Mapping[str, Histogram]
    model_sha256: str
    feeds_sha256: str
    num_clips: int
    rejected: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Observations({len(self.tensors)} tensors, num_clips={self.num_clips}, "
            f"rejected={len(self.rejected)}, model={self.model_sha256[:12]}, feeds={self.feeds_sha256[:12]})"
        )

    def only(self, tensors: Iterable[str]) -> Observations:
        """Return what was observed of these tensors alone.

        Raises
        ------
        CalibrationError : one of them was not observed.
        """
        names = tuple(tensors)
        if missing := [name for name in names if name not in self.tensors]:
            raise CalibrationError(f"tensor {missing[0]!r} is not among the {len(self.tensors)} observed")
        return replace(self, tensors={name: self.tensors[name] for name in names})

    def merge(self, other: Observations) -> Observations:
        """Add what another process or machine observed of the same network, on other clips.

        Raises
        ------
        CalibrationError : the networks or their observed tensors differ, or a digest is not hexadecimal.
        """
        if self.model_sha256 != other.model_sha256:
            raise CalibrationError(
                f"observations of network {self.model_sha256[:12]} cannot be merged with those of "
                f"network {other.model_sha256[:12]}",
                hint="observe every part of the clips on the same network",
            )
        if different := sorted(set(self.tensors) ^ set(other.tensors)):
            raise CalibrationError(
                f"observations cannot be merged: {len(different)} tensors, among them {different[0]!r}, "
                "were observed in one part only",
                hint="pass the same tensors for every part",
            )
        rejected = dict(self.rejected)
        for clip, reason in other.rejected.items():
            rejected[clip] = min(reason, rejected.get(clip, reason))
        return Observations(
            tensors={name: histogram.merge(other.tensors[name]) for name, histogram in self.tensors.items()},
            model_sha256=self.model_sha256,
            feeds_sha256=_add_digests(self.feeds_sha256, other.feeds_sha256),
            num_clips=self.num_clips + other.num_clips,
            rejected=rejected,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a compressed ``.npz`` file; an existing one is replaced whole or not at all."""
        write_bytes(path, self.dumps())

    def dumps(self) -> bytes:
        """Return the content of the file that `save` writes."""
        header = {
            "format": _FORMAT,
            "tensors": list(self.tensors),
            "model_sha256": self.model_sha256,
            "feeds_sha256": self.feeds_sha256,
            "num_clips": self.num_clips,
            "rejected": dict(self.rejected),
        }
        histograms = list(self.tensors.values())
        columns: dict[str, Any] = {
            "counts": np.array([h.counts for h in histograms], np.int64),
            "exponents": np.array([h.exponent for h in histograms], np.int64),
            "num_zeros": np.array([h.num_zeros for h in histograms], np.int64),
            "num_nonfinite": np.array([h.num_nonfinite for h in histograms], np.int64),
            "observed_max": np.array([h.observed_max for h in histograms], np.float64),
            "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **columns)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Observations:
        """Read a file that `save` wrote.

        Raises
        ------
        CalibrationError : the file is missing, is not such a file, or its parts contradict each other.
        """
        source = Path(path)
        if not source.is_file():
            raise CalibrationError(f"no observations file at {source}")
        try:
            return _from_columns(_read_columns(source))
        except CalibrationError as error:
            raise CalibrationError(f"{source} is a damaged observations file: {error.message}") from error
        except Exception as error:  # zip, zlib, NumPy and JSON each raise kinds of their own
            raise CalibrationError(f"{source} is not an observations file: {error}") from error


def _read_columns(source: Path) -> dict[str, Any]:
    with zipfile.ZipFile(source) as archive:
        members = archive.infolist()
        if sorted(member.filename for member in members) != sorted(f"{name}.npy" for name in _ARRAYS):
            raise CalibrationError(f"it must hold exactly {', '.join(_ARRAYS)}")
        if (unpacked := sum(member.file_size for member in members)) > _MAX_UNPACKED_BYTES:
            raise CalibrationError(f"it unpacks to {unpacked} bytes, more than {_MAX_UNPACKED_BYTES}")
    with np.load(source, allow_pickle=False) as archive:
        columns = {name: archive[name] for name in _ARRAYS}
    for name, dtype in _ARRAYS.items():
        if columns[name].dtype != dtype:
            raise CalibrationError(f"{name} must be {dtype}, got {columns[name].dtype}")
    return columns


def _from_columns(columns: dict[str, Any]) -> Observations:
    header = json.loads(columns["header"].tobytes())
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise CalibrationError(f'its header lacks "format": "{_FORMAT}"')
    for key, kind in _HEADER.items():
        if not isinstance(header.get(key), kind) or header[key] is True:
            raise CalibrationError(
                f"{key!r} in its header must be {kind.__name__}, got {header.get(key)!r:.80}"
            )
    if header["num_clips"] < 0:
        raise CalibrationError(f"it counts {header['num_clips']} clips")
    names = [str(name) for name in header["tensors"]]
    if len(set(names)) != len(names):
        raise CalibrationError("a tensor is named twice")
    for name in _ARRAYS.keys() - {"header"}:
        if len(columns[name]) != len(names) or columns[name].ndim != (2 if name == "counts" else 1):
            raise CalibrationError(f"{name} has shape {list(columns[name].shape)} for {len(names)} tensors")
    return Observations(
        tensors={
            name: Histogram(
                counts=columns["counts"][row],
                exponent=int(columns["exponents"][row]),
                num_zeros=int(columns["num_zeros"][row]),
                num_nonfinite=int(columns["num_nonfinite"][row]),
                observed_max=float(columns["observed_max"][row]),
            )
            for row, name in enumerate(names)
        },
        model_sha256=header["model_sha256"],
        feeds_sha256=header["feeds_sha256"],
        num_clips=header["num_clips"],
        rejected={str(clip): str(reason) for clip, reason in header["rejected"].items()},
    )


def _add_digests(first: str, second: str) -> str:
    # A sum, so that parts merged in any order and grouping name the same feeds.
    try:
        return f"{(int(first, 16) + int(second, 16)) % (1 << 256):064x}"
    except ValueError:
        raise CalibrationError(f"a feeds digest must be hexadecimal, got {first!r} and {second!r}") from None
