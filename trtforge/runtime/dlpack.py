"""Read and make DLPack capsules: the way by which array libraries hand memory to each other.

References
----------
DLPack, "Python Specification for DLPack" and ``dlpack.h``, version 0.8: structures without a version.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtforge.errors import InputError

CUDA, CUDA_MANAGED = 2, 13
_UNUSED = b"dltensor"
# DLDataTypeCode and NumPy's letter for the kind of a dtype.
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _ManagedTensor(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


@dataclass(frozen=True)
class Described:
    """What a capsule says of its memory.

    Parameters
    ----------
    address : of the first element.
    shape, dtype : as NumPy has them.
    is_contiguous : whether the elements lie in C order without gaps.
    device_id : which GPU.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_contiguous: bool
    device_id: int


def describe(capsule: Any) -> Described:
    """Read a capsule without consuming it; what it says holds while the capsule lives.

    Raises
    ------
    InputError : the capsule has been consumed, or its memory is not a GPU's or of a type that NumPy lacks.
    """
    tensor = _managed(capsule).tensor
    if tensor.device_type not in (CUDA, CUDA_MANAGED):
        raise InputError(f"the DLPack capsule's memory is of device type {tensor.device_type}, wanted CUDA's")
    if tensor.lanes != 1 or tensor.code not in _KINDS:
        raise InputError(
            f"the DLPack capsule holds {tensor.lanes} lanes of type {tensor.code}, {tensor.bits} bits, "
            "which NumPy lacks"
        )
    kind = _KINDS[tensor.code]
    dtype = np.dtype(np.bool_ if kind == "b" else f"{kind}{tensor.bits // 8}")
    shape = tuple(int(tensor.shape[axis]) for axis in range(tensor.ndim))
    strides = tuple(int(tensor.strides[axis]) for axis in range(tensor.ndim)) if tensor.strides else None
    return Described(
        int(tensor.data or 0) + int(tensor.byte_offset),
        shape,
        dtype,
        strides is None or is_contiguous(shape, strides),
        int(tensor.device_id),
    )


def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Say whether strides, in elements, are those of C order without gaps."""
    if 0 in shape:
        return True
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def make_capsule(
    owner: Any, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], device: tuple[int, int]
) -> Any:
    """Return a capsule that keeps ``owner`` alive until its consumer is done.

    Parameters
    ----------
    owner : what the memory belongs to.
    address, shape, dtype : the memory, in C order without gaps.
    device : DLPack's device type and number.

    Raises
    ------
    InputError : DLPack, as NumPy writes it, lacks the dtype.
    """
    try:
        # NumPy's capsules may be dropped at any time; one of ours would run Python while an exception is
        # under way.
        capsule: Any = np.asarray(_Holder(owner, address, shape, dtype)).__dlpack__()
    except (BufferError, TypeError, ValueError) as error:
        raise InputError(
            f"an array of dtype {dtype} cannot be lent by DLPack: {error}",
            hint="take it by its CUDA array interface",
        ) from error
    tensor = _managed(capsule).tensor
    tensor.device_type, tensor.device_id = device
    return capsule


class _Holder:
    """Memory that looks to NumPy like the host's, which reads only its description."""

    def __init__(self, owner: Any, address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "typestr": dtype.str,
            "version": 3,
        }


def _managed(capsule: Any) -> _ManagedTensor:
    held = ctypes.py_object(capsule)
    if not _function("PyCapsule_IsValid", ctypes.c_int)(held, _UNUSED):
        raise InputError("the DLPack capsule has been used before, or is none")
    return _ManagedTensor.from_address(_function("PyCapsule_GetPointer", ctypes.c_void_p)(held, _UNUSED))


def _function(name: str, result: Any) -> Any:
    """Return a function of Python's own that takes a capsule and its name."""
    return ctypes.PYFUNCTYPE(result, ctypes.py_object, ctypes.c_char_p)((name, ctypes.pythonapi))
