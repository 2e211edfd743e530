"""Arrays from and to the bytes of an ``.npz`` file that is not to be trusted."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import InputError

_MAX_ARRAYS = 16
_MAX_UNPACKED_BYTES = 256 * 2**20


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Read named arrays; nothing is unpickled, and memory is set aside only for what the file holds.

    Raises
    ------
    InputError : the bytes are no such file, hold too much, or contradict themselves.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if len(members) > _MAX_ARRAYS or total > _MAX_UNPACKED_BYTES:
                raise InputError(
                    f"the file holds {len(members)} arrays of {total} bytes, at most {_MAX_ARRAYS} of "
                    f"{_MAX_UNPACKED_BYTES} are read"
                )
            return {member.filename.removesuffix(".npy"): _read(archive.read(member)) for member in members}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the body is no .npz file of arrays: {error}") from error


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return named arrays as the bytes of an ``.npz`` file."""
    stream = io.BytesIO()
    # Not np.savez(**arrays), which takes a name such as "file" for an argument of its own.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)
    return stream.getvalue()


def _read(content: bytes) -> NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    data = content[stream.tell() :]
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data):
        raise InputError(f"an array of {dtype} {list(shape)} cannot be {len(data)} bytes")
    order = "F" if is_fortran else "C"
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload]
    return array
