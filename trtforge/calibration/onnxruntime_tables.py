"""ONNX Runtime's calibration tables: the files that its TensorRT execution provider takes ranges from.

Its ``write_calibration_table`` writes one table three times: ``calibration.json``, which has both ends of
every range, ``calibration.flatbuffers``, which the provider reads, and ``calibration.cache``, the same as
text. The latter two hold the larger end of each range, not the larger magnitude: where negative values reach
further, the range is too small. They can be read, and are written here with magnitudes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trtforge._files import sha256, write_bytes
from trtforge._optional import require
from trtforge.calibration.cache import MAX_CACHE_BYTES
from trtforge.calibration.choose import FLOOR_AMAX
from trtforge.errors import CalibrationCacheError, ConfigError
from trtforge.scales import Scales, TensorScale

_READERS = (".cache", ".flatbuffers", ".json")
_TABLE = "onnxruntime.quantization.CalTableFlatBuffers"
# JSON repeats the histograms; the other two hold a name and a number.
_MAX_BYTES = {".cache": MAX_CACHE_BYTES, ".flatbuffers": MAX_CACHE_BYTES, ".json": 20 * MAX_CACHE_BYTES}


def read_onnxruntime_table(path: str | os.PathLike[str], model_sha256: str) -> Scales:
    """Read a table of ONNX Runtime as scales.

    Parameters
    ----------
    path : ``calibration.json``, ``calibration.flatbuffers`` or ``calibration.cache``; the ending says which.
        Prefer JSON, whose ranges keep their negative end.
    model_sha256 : digest of the network that was calibrated (`trtforge.model.model_digest`).

    Returns
    -------
    Scales with ``amax`` for each tensor, zeros raised to the floor; the largest magnitude seen, which the
    table does not hold, is taken to be ``amax``, and the number of clips is 0.

    Raises
    ------
    CalibrationCacheError : the file is missing, too large, malformed, or a range in it is not finite.
    ConfigError : the ending is another.
    MissingExtraError : ONNX Runtime is not installed, and a ``.flatbuffers`` file is read.
    """
    source = Path(path)
    if source.suffix not in _READERS:
        raise ConfigError(f"a table of ONNX Runtime ends in {', '.join(_READERS)}, got {source.name!r}")
    try:
        with source.open("rb") as file:
            content = file.read(_MAX_BYTES[source.suffix] + 1)
    except OSError as error:
        raise CalibrationCacheError(f"no table can be read at {source}: {error.strerror}") from error
    if len(content) > _MAX_BYTES[source.suffix]:
        raise CalibrationCacheError(f"{source} exceeds {_MAX_BYTES[source.suffix]} bytes")
    reader = {".cache": _from_text, ".flatbuffers": _from_flatbuffers, ".json": _from_json}[source.suffix]
    tensors: dict[str, TensorScale] = {}
    try:
        for name, amax in reader(content):
            if name in tensors:
                raise CalibrationCacheError(f"tensor {name!r} has an entry already")
            tensors[name] = _tensor_scale(name, amax)
    except CalibrationCacheError as error:
        raise CalibrationCacheError(f"{source}: {error.message}") from None
    if not tensors:
        raise CalibrationCacheError(f"{source} holds no tensor")
    return Scales(tensors, "onnxruntime", model_sha256, sha256(content), 0)


def write_onnxruntime_table(scales: Scales, path: str | os.PathLike[str]) -> None:
    """Write scales as a table for ONNX Runtime's TensorRT execution provider.

    Parameters
    ----------
    scales : the ranges; ``amax`` is what is written.
    path : ends in ``.flatbuffers``, which the provider reads, or in ``.cache``, the same as text.

    Raises
    ------
    ConfigError : the ending is another, or a name cannot be written in one line of text.
    MissingExtraError : ONNX Runtime is not installed, and a ``.flatbuffers`` file is written.
    """
    suffix = Path(path).suffix
    amax = {name: scales[name].amax for name in sorted(scales)}
    if suffix == ".cache":
        if bad := [name for name in amax if not name.isprintable()]:
            raise ConfigError(f"tensor name {bad[0]!r} cannot be written in one line of text")
        write_bytes(path, "".join(f"{name} {value!r}\n" for name, value in amax.items()).encode())
    elif suffix == ".flatbuffers":
        write_bytes(path, _to_flatbuffers(amax))
    else:
        raise ConfigError(f"a table is written to .flatbuffers or .cache, got {Path(path).name!r}")


def _from_text(content: bytes) -> Iterable[tuple[str, float]]:
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CalibrationCacheError(f"not UTF-8 text: {error.reason}") from error
    for number, line in enumerate(lines, start=1):
        name, _, value = line.rpartition(" ")
        try:
            if not name:
                raise ValueError
            yield name, float(value)
        except ValueError:
            raise CalibrationCacheError(
                f"line {number}: wanted 'tensor name range', got {line[:80]!r}"
            ) from None


def _from_json(content: bytes) -> Iterable[tuple[str, float]]:
    try:
        tensors = json.loads(content)["data"]
        return [
            (str(name), max(abs(_number(entry["lowest"])), abs(_number(entry["highest"]))))
            for name, entry in tensors.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CalibrationCacheError(f"not a table of ONNX Runtime: {error!r}") from error


def _number(value: Any) -> float:
    # A scalar array is written as an object with its data, or, by older versions, as text.
    data = value["data"] if isinstance(value, Mapping) else value
    while isinstance(data, list) and len(data) == 1:
        data = data[0]
    if isinstance(data, (list, bool)):
        raise ValueError(f"wanted one number for each tensor, got {str(data)[:80]}")
    return float(data)


def _from_flatbuffers(content: bytes) -> Iterable[tuple[str, float]]:
    table_module = require(f"{_TABLE}.TrtTable", "read a .flatbuffers table")
    try:
        table = table_module.TrtTable.GetRootAs(content, 0)
        count = table.DictLength()
        # An entry takes four bytes at least; a larger count is not to be believed.
        if count * 4 > len(content):
            raise ValueError(f"{count} entries in {len(content)} bytes")
        entries = [table.Dict(index) for index in range(count)]
        return [(entry.Key().decode("utf-8"), float(entry.Value())) for entry in entries]
    except Exception as error:  # offsets that lead nowhere raise what the decoder stumbles over
        raise CalibrationCacheError(f"not a table of ONNX Runtime: {error!r}") from error


def _to_flatbuffers(amax: Mapping[str, float]) -> bytes:
    pair = require(f"{_TABLE}.KeyValue", "write a .flatbuffers table")
    table = require(f"{_TABLE}.TrtTable", "write a .flatbuffers table")
    builder = table.flatbuffers.Builder(1024)
    pairs = []
    for name, value in amax.items():
        key, text = builder.CreateString(name), builder.CreateString(repr(value))
        pair.KeyValueStart(builder)
        pair.KeyValueAddKey(builder, key)
        pair.KeyValueAddValue(builder, text)
        pairs.append(pair.KeyValueEnd(builder))
    table.TrtTableStartDictVector(builder, len(pairs))
    # Prepending writes backwards.
    for offset in reversed(pairs):
        builder.PrependUOffsetTRelative(offset)
    entries = builder.EndVector()
    table.TrtTableStart(builder)
    table.TrtTableAddDict(builder, entries)
    builder.Finish(table.TrtTableEnd(builder))
    return bytes(builder.Output())


def _tensor_scale(name: str, amax: float) -> TensorScale:
    if not (math.isfinite(amax) and amax >= 0):
        raise CalibrationCacheError(f"the range of {name!r} must be finite and not negative, got {amax!r}")
    if amax < FLOOR_AMAX:
        return TensorScale(amax=FLOOR_AMAX, observed_max=amax, floored=True)
    return TensorScale(amax=amax, observed_max=amax)
