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
_CODES = {kind: code for code, kind in _KINDS.items()}


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


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _ManagedTensor(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter))


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
    held = ctypes.py_object(capsule)
    if not _function("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object)(held, _UNUSED):
        raise InputError("the DLPack capsule has been used before, or is none")
    pointer = _function("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object)(held, _UNUSED)
    tensor = _ManagedTensor.from_address(pointer).tensor
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
    """
    sizes = (ctypes.c_int64 * max(1, len(shape)))(*shape)
    tensor = _Tensor(
        address or None, *device, len(shape), _CODES[dtype.kind], 8 * dtype.itemsize, 1, sizes, None, 0
    )
    managed = _ManagedTensor(tensor, None, _release)
    key = ctypes.addressof(managed)
    _LENT[key] = (owner, sizes, managed)
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    try:
        destructor = ctypes.cast(_forget, ctypes.c_void_p)
        return new(("PyCapsule_New", ctypes.pythonapi))(key, _UNUSED, destructor)
    except BaseException:
        del _LENT[key]
        raise


# What consumers may still read, by the address of its description.
_LENT: dict[int, tuple[Any, ...]] = {}


def _function(name: str, result: Any, capsule: Any) -> Any:
    """Return a function of Python's own that takes a capsule and its name."""
    return ctypes.PYFUNCTYPE(result, capsule, ctypes.c_char_p)((name, ctypes.pythonapi))


def _release_lent(managed: int) -> None:
    _LENT.pop(managed, None)


def _forget_capsule(capsule: int) -> None:
    # The capsule is being destroyed, so that it must not be made a Python object again: it stays an address.
    if _function("PyCapsule_IsValid", ctypes.c_int, ctypes.c_void_p)(capsule, _UNUSED):
        _release_lent(_function("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.c_void_p)(capsule, _UNUSED))


# Kept for good: what C code holds must never be collected.
_release = _Deleter(_release_lent)
_forget = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_forget_capsule)
