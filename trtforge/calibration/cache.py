"""TensorRT's calibration cache: one INT8 scale for each tensor, as a text file that the builder reads."""

from __future__ import annotations

import math
import os
import re
import struct
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trtforge._files import write_bytes
from trtforge.errors import CalibrationCacheError, ConfigError

Algorithm = Literal["entropy", "minmax"]

MAX_CACHE_BYTES = 10_000_000
"""Largest cache that is read; a network of a hundred thousand tensors needs less."""

_ALGORITHMS: dict[str, Algorithm] = {"EntropyCalibration2": "entropy", "MinMaxCalibration": "minmax"}
_HEADER = re.compile(rf"TRT-(\d{{4}}|\d{{6}})-({'|'.join(_ALGORITHMS)})", re.ASCII)
_VERSION = re.compile(r"\d{1,2}\.\d{1,2}(\.\d{1,2}(\.\d+)?)?", re.ASCII)
# TensorRT prints the bits without leading zeros, and an all-zero tensor as a single 0.
_SCALE = re.compile(r"0|[1-9a-f][0-9a-f]{0,7}")
_INFINITY_BITS = 0x7F800000
_MAX_SCALE = (2 - 2**-23) * 2.0**127 / 127
"""The scale of the largest float32: no activation reaches further."""
_HINT = "take the file as TensorRT or trtforge wrote it, or calibrate again"


@dataclass(frozen=True)
class CalibrationCache:
    """INT8 scales by TensorRT's tensor names.

    Parameters
    ----------
    header : first line, such as ``TRT-8600-EntropyCalibration2``; see `cache_header`.
    scales : tensor name to scale, ``amax / 127``, in activation units, rounded to float32; in file order.
        Zero is TensorRT's mark of a tensor that held nothing but zeros.

    Raises
    ------
    CalibrationCacheError : the header is not TensorRT's, a name cannot be written in one line, or a scale is
        negative, not finite, too small for float32, or more than a 127th of the largest float32.
    """

    header: str
    scales: Mapping[str, float]

    def __post_init__(self) -> None:
        _check_header(self.header)
        for name in self.scales:
            _check_name(name)
        object.__setattr__(
            self, "scales", {name: _rounded(name, scale) for name, scale in self.scales.items()}
        )

    def __len__(self) -> int:
        return len(self.scales)

    def __contains__(self, name: object) -> bool:
        return name in self.scales

    def __repr__(self) -> str:
        return f"CalibrationCache({self.header!r}, {len(self)} tensors)"

    @property
    def algorithm(self) -> Algorithm:
        """The calibrator that the cache belongs to; TensorRT refuses it from another."""
        return _ALGORITHMS[self.header.rpartition("-")[2]]

    @property
    def library_version(self) -> str:
        """The TensorRT version that the cache is for, such as ``8.6.0``."""
        digits = self.header.split("-")[1]
        if len(digits) == 4:
            return ".".join((digits[0], digits[1], str(int(digits[2:]))))
        return ".".join(str(int(digits[at : at + 2])) for at in (0, 2, 4))

    def matched(self, names: Collection[str]) -> CalibrationCache:
        """Keep the entries of a network's tensors; warn of the others, once.

        Parameters
        ----------
        names : the network's tensor names, as TensorRT has them.

        Raises
        ------
        CalibrationCacheError : not one entry is the network's.
        """
        kept = {name: scale for name, scale in self.scales.items() if name in names}
        unknown = [name for name in self.scales if name not in names]
        if not kept:
            raise CalibrationCacheError(
                f"none of the {len(self)} tensors of the calibration cache is in the network; the first is "
                f"{next(iter(self.scales), None)!r}",
                hint="calibrate this network",
            )
        if unknown:
            shown = ", ".join(map(repr, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
            warnings.warn(
                f"{len(unknown)} of {len(self)} tensors of the calibration cache are not in the network and "
                f"were dropped: {shown}",
                RuntimeWarning,
                stacklevel=2,
            )
        return CalibrationCache(self.header, kept)

    def dumps(self) -> bytes:
        """Return the file's content; of a cache that was read and not changed, the same bytes."""
        lines = [self.header, *(f"{name}: {_bits(scale):x}" for name, scale in self.scales.items())]
        return "".join(f"{line}\n" for line in lines).encode()


def cache_header(library_version: str, algorithm: Algorithm) -> str:
    """Return the first line that TensorRT of this version wants, and refuses a cache without.

    Parameters
    ----------
    library_version : such as ``8.6.0``, which is written ``8600``, or ``10.16.1.11``, written ``101601``.
    algorithm : ``entropy`` or ``minmax``.

    Raises
    ------
    ConfigError : the algorithm is another, or the version is none that has calibrators: 8, 9 and 10 have.
    """
    written = {value: key for key, value in _ALGORITHMS.items()}
    if algorithm not in written:
        raise ConfigError(
            f"algorithm must be 'entropy' or 'minmax', got {algorithm!r}", settings=("algorithm",)
        )
    if not isinstance(library_version, str) or not _VERSION.fullmatch(library_version):
        raise ConfigError(
            f"library_version must be a TensorRT version such as '8.6.0', got {library_version!r}",
            settings=("library_version",),
        )
    major, minor, patch = (int(part) for part in [*library_version.split("."), "0", "0"][:3])
    if not 8 <= major <= 10:
        raise ConfigError(
            f"TensorRT {library_version} takes no calibration cache; TensorRT 8, 9 and 10 do",
            hint="TensorRT 11 and TensorRT-RTX have no calibrators: write Q/DQ nodes with trtforge.quantize",
            settings=("library_version",),
        )
    number = (major * 1000 if major < 10 else major * 10_000) + minor * 100 + patch
    return f"TRT-{number}-{written[algorithm]}"


def read_calibration_cache(source: bytes | str | os.PathLike[str]) -> CalibrationCache:
    """Read a calibration cache, believing nothing of it.

    Parameters
    ----------
    source : the file's content, or its path.

    Raises
    ------
    CalibrationCacheError : there is no such file, it exceeds `MAX_CACHE_BYTES`, or a line is not as TensorRT
        writes it; the message has the line's number.
    """
    if isinstance(source, bytes):
        return _parse(source, "the calibration cache")
    path = Path(source)
    try:
        with path.open("rb") as file:
            return _parse(file.read(MAX_CACHE_BYTES + 1), str(path))
    except OSError as error:
        raise CalibrationCacheError(
            f"no calibration cache can be read at {path}: {error.strerror}"
        ) from error


def write_calibration_cache(cache: CalibrationCache, path: str | os.PathLike[str]) -> None:
    """Write a cache; an existing file is replaced whole or not at all.

    Raises
    ------
    ConfigError : ``cache`` is no cache.
    """
    if not isinstance(cache, CalibrationCache):
        raise ConfigError(
            f"cache must be a CalibrationCache, got {type(cache).__name__}",
            hint="the cache comes first, the path second",
            settings=("cache", "path"),
        )
    write_bytes(path, cache.dumps())


def _parse(content: bytes, source: str) -> CalibrationCache:
    if len(content) > MAX_CACHE_BYTES:
        raise CalibrationCacheError(f"{source} exceeds {MAX_CACHE_BYTES} bytes", hint=_HINT)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CalibrationCacheError(f"{source}, line {line}: not UTF-8 text", hint=_HINT) from error
    *lines, rest = text.split("\n")
    if rest or not lines:
        raise CalibrationCacheError(
            f"{source}, line {len(lines) + 1}: cut short, for it does not end in a line break", hint=_HINT
        )
    scales: dict[str, float] = {}
    number = 1
    try:
        for number, entry in enumerate(lines, start=1):
            if number == 1:
                _check_header(entry)
                continue
            name, scale = _parse_line(entry)
            if name in scales:
                raise CalibrationCacheError(f"tensor {name!r} has an entry already")
            scales[name] = scale
    except CalibrationCacheError as error:
        raise CalibrationCacheError(f"{source}, line {number}: {error.message}", hint=_HINT) from None
    return CalibrationCache(lines[0], scales)


def _parse_line(line: str) -> tuple[str, float]:
    name, colon, digits = line.rpartition(": ")
    if not colon or not _SCALE.fullmatch(digits):
        raise CalibrationCacheError(f"wanted 'tensor name: scale in hexadecimal', got {line[:80]!r}")
    _check_name(name)
    bits = int(digits, 16)
    if bits >= _INFINITY_BITS:
        raise CalibrationCacheError(f"the scale of {name!r} must be finite and positive, got bits {digits}")
    return name, _rounded(name, float(struct.unpack(">f", bits.to_bytes(4, "big"))[0]))


def _check_header(line: str) -> None:
    if not _HEADER.fullmatch(line):
        raise CalibrationCacheError(
            f"wanted a first line such as 'TRT-8600-EntropyCalibration2', with one of "
            f"{', '.join(_ALGORITHMS)}, got {line[:80]!r}"
        )


def _check_name(name: str) -> None:
    # Only a line break would break the grammar; other control characters appear in no honest name.
    if not name or not name.isprintable():
        raise CalibrationCacheError(f"{name[:80]!r} cannot be a tensor's name")


def _rounded(name: str, scale: float) -> float:
    if not (math.isfinite(scale) and scale >= 0):
        raise CalibrationCacheError(f"the scale of {name!r} must be finite and positive, got {scale!r}")
    try:
        rounded = float(struct.unpack(">f", struct.pack(">f", scale))[0])
    except OverflowError:
        rounded = math.inf
    if math.isinf(rounded) or (rounded == 0 and scale > 0):
        raise CalibrationCacheError(f"the scale of {name!r} must fit into float32, got {scale!r}")
    if rounded > _MAX_SCALE:
        raise CalibrationCacheError(
            f"the scale of {name!r} must be at most {_MAX_SCALE:.3g}, a 127th of the largest float32, got "
            f"{scale:.3g}"
        )
    return rounded


def _bits(scale: float) -> int:
    return int.from_bytes(struct.pack(">f", scale), "big")
