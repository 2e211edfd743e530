"""Take arrays of other libraries where they lie on the GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import InputError, TrtforgeError
from trtforge.model import TensorSpec
from trtforge.nvidia.cuda import LEGACY_STREAM, Stream, device_of
from trtforge.runtime import dlpack

# TensorRT wants tensors to begin at multiples of this many bytes.
ALIGNMENT = 256
_INTERFACE = "__cuda_array_interface__"


@dataclass(frozen=True)
class DeviceView:
    """Memory on the GPU that something else owns.

    Parameters
    ----------
    address, shape, dtype : the array, in C order without gaps.
    device : CUDA device ordinal.
    owner : what keeps the memory alive.
    was_copied : whether its owner's library had to put it into C order first.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: int
    owner: Any
    was_copied: bool = False

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def is_on_gpu(name: str, value: Any) -> bool:
    """Say whether a value tells that it lies in a GPU's memory.

    Raises
    ------
    InputError : it lies where DLPack knows no device, as PyTorch's meta tensors do.
    """
    if hasattr(value, "__dlpack_device__"):
        try:
            return int(value.__dlpack_device__()[0]) in (dlpack.CUDA, dlpack.CUDA_MANAGED)
        except Exception as error:  # each library has its own
            raise _not_lent(name, value, error) from error
    return hasattr(value, _INTERFACE)


def from_host(name: str, value: Any) -> NDArray[Any] | None:
    """Return a view of another library's array on the host, or None where the value is no such array.

    Raises
    ------
    InputError : its library refuses to lend it, as PyTorch does where gradients are wanted.
    """
    if not hasattr(value, "__dlpack__"):
        return None
    try:
        array: NDArray[Any] = np.from_dlpack(value)
    except Exception as error:  # each library has its own
        raise _not_lent(name, value, error) from error
    return array


def _not_lent(name: str, value: Any, error: Exception) -> InputError:
    return InputError(f"input {name!r}, a {type(value).__name__}, could not be lent: {error}")


def from_device(spec: TensorSpec, value: Any, stream: Stream, device: int) -> DeviceView:
    """Return where a value lies on the GPU, and let ``stream`` wait until its owner has written it.

    DLPack is asked first: the owner's library then orders its work before the stream. The CUDA array
    interface names a stream to wait for; where it does not say, the legacy default stream is waited for.
    A value that is not in C order is made so by its own ``contiguous`` method, if it has one.

    Raises
    ------
    InputError : the value is of another GPU or cannot be read or made contiguous.
    """
    try:
        view = _lent(value, stream, device)
        if view is None:
            make_contiguous = getattr(value, "contiguous", None)
            if make_contiguous is None:
                raise InputError("it is not C-contiguous", hint="copy it into C order first")
            copied = make_contiguous()
            again = _lent(copied, stream, device)
            if again is None:
                raise InputError("it is not C-contiguous even after its contiguous()")
            view = DeviceView(again.address, again.shape, again.dtype, device, (copied, again.owner), True)
    except TrtforgeError as error:
        if not isinstance(error, InputError):
            raise
        hint = error.hint
        raise InputError(_told(spec, value, error.message), hint=hint) from error
    except Exception as error:  # each library has its own
        raise InputError(_told(spec, value, f"{type(error).__name__}: {error}")) from error
    return view


def _told(spec: TensorSpec, value: Any, why: str) -> str:
    return f"input {spec.name!r}, a {type(value).__name__} on a GPU, cannot be read: {why}; wanted {spec}"


def _lent(value: Any, stream: Stream, device: int) -> DeviceView | None:
    if hasattr(value, "__dlpack__"):
        _check_device(int(value.__dlpack_device__()[1]), device)
        capsule = value.__dlpack__(stream=stream.handle)
        told = dlpack.describe(capsule)
        if not told.is_contiguous:
            return None
        return DeviceView(told.address, told.shape, told.dtype, device, capsule)
    return _from_interface(value, stream, device)


def _from_interface(value: Any, stream: Stream, device: int) -> DeviceView | None:
    told = getattr(value, _INTERFACE)
    shape, dtype = tuple(int(size) for size in told["shape"]), np.dtype(told["typestr"])
    address = int(told["data"][0] or 0)
    if told.get("mask") is not None:
        raise InputError("it is masked")
    if address:
        found = device_of(address)
        if found is None:
            raise InputError(f"address {address:#x} is not memory of a GPU")
        _check_device(found, device)
    strides = told.get("strides")
    if strides is not None:
        in_elements = tuple(int(stride) // dtype.itemsize for stride in strides)
        if not dlpack.is_contiguous(shape, in_elements):
            return None
    writer = told["stream"] if told.get("version", 0) >= 3 and "stream" in told else LEGACY_STREAM
    if writer is not None:
        stream.wait_for(int(writer))
    return DeviceView(address, shape, dtype, device, value)


def _check_device(found: int, wanted: int) -> None:
    if found != wanted:
        raise InputError(f"it lies on GPU {found}, the session runs on GPU {wanted}")
