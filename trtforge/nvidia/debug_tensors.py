"""Keep copies of an engine's debug tensors on the GPU as it runs."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Collection
from typing import Any

from trtforge.errors import ExecutionError
from trtforge.nvidia.building import dtype_name
from trtforge.nvidia.cuda import DeviceBuffer, copy_on_device
from trtforge.nvidia.execution import Context
from trtforge.nvidia.magnitude_tables import item_bytes


class DebugTensors:
    """Copies of the debug tensors of the latest inference.

    The library says where a tensor is while it queues the work that makes it, and may use the place for
    another tensor afterwards; a copy queued in between, on the same stream, is in time.

    Parameters
    ----------
    trt : the library, one with debug tensors.
    context : the context to listen to.
    names : the tensors to keep.

    References
    ----------
    NVIDIA, TensorRT API, ``IDebugListener::processDebugTensor``.
    """

    def __init__(self, trt: Any, context: Context, names: Collection[str]) -> None:
        self._buffers = {name: DeviceBuffer() for name in names}
        self._found: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._error: BaseException | None = None
        owner = self

        class Listener(trt.IDebugListener):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()

            def process_debug_tensor(
                self,
                addr: Any,
                location: Any,
                kind: Any,
                shape: Any,
                name: str,
                stream: int,
            ) -> bool:
                # An exception must not pass through the library.
                try:
                    owner._keep(_address_of(addr), dtype_name(kind), tuple(map(int, shape)), name, stream)
                except BaseException as error:
                    owner._error = owner._error or error
                return True

        # The library keeps no reference.
        self._listener = Listener()
        context.listen(self._listener)

    def begin(self) -> None:
        """Forget the inference before; to be called before each."""
        self._found, self._error = {}, None

    def found(self, name: str) -> tuple[int, str, tuple[int, ...]]:
        """Return address, dtype and shape of a copy.

        Raises
        ------
        ExecutionError : the library did not show the tensor.
        Exception : what keeping a copy raised, `OutOfMemoryError` above all.
        """
        if self._error is not None:
            raise self._error
        if name not in self._found:
            raise ExecutionError(f"the engine ran and did not show its tensor {name!r}")
        return self._buffers[name].address, *self._found[name]

    def close(self) -> None:
        """Free the copies."""
        for buffer in self._buffers.values():
            buffer.close()

    def _keep(self, address: int, dtype: str, shape: tuple[int, ...], name: str, stream: int) -> None:
        if name not in self._buffers:
            return
        num_bytes = math.prod(shape) * item_bytes(name, dtype)
        self._buffers[name].reserve(num_bytes)
        copy_on_device(self._buffers[name].address, address, num_bytes, stream)
        self._found[name] = dtype, shape


def _address_of(capsule: Any) -> int:
    if isinstance(capsule, int):
        return capsule
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule)) or 0)
