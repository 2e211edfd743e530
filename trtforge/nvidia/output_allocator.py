"""Memory for outputs whose shape the library learns only while it runs."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

from trtforge.errors import ExecutionError, OutOfMemoryError
from trtforge.nvidia.cuda import DeviceBuffer

_MOST_BEFOREHAND_BYTES = 256 << 20


class GrowingOutput:
    """One output of a context, in memory that grows on demand and never shrinks.

    Parameters
    ----------
    trt : the library.
    name : the output.

    Attributes
    ----------
    listener : what the library is given; it must live as long as the context.

    References
    ----------
    NVIDIA, TensorRT API, ``IOutputAllocator``.
    """

    def __init__(self, trt: Any, name: str) -> None:
        self.name = name
        self.buffer = DeviceBuffer()
        self._shape: tuple[int, ...] | None = None
        self._error: BaseException | None = None
        owner = self

        class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IOutputAllocator.__init__(self)

            def reallocate_output(
                self, tensor_name: str, memory: Any, size: int, alignment: int, stream: int = 0
            ) -> int:
                return owner._reserve(size)

            # Later versions tell the stream too.
            reallocate_output_async = reallocate_output

            def notify_shape(self, tensor_name: str, shape: Any) -> None:
                owner._learn(shape)

        self.listener = Allocator()

    def prepare(self, most_bytes: int) -> None:
        """Make room beforehand for the most that an inference can give, within reason."""
        if most_bytes <= _MOST_BEFOREHAND_BYTES:
            with suppress(OutOfMemoryError):  # an inference may give less
                self.buffer.reserve(most_bytes)

    def begin(self) -> None:
        """Forget the inference before; to be called before each."""
        self._shape, self._error = None, None

    def check(self) -> None:
        """Raise what went wrong while the library asked for memory, `OutOfMemoryError` above all."""
        if self._error is not None:
            raise self._error

    def shape(self, itemsize: int) -> tuple[int, ...]:
        """Return the shape that the library told, once the inference is done.

        Parameters
        ----------
        itemsize : bytes of each element.

        Raises
        ------
        ExecutionError : it told none, or one larger than the memory that it asked for.
        """
        if self._shape is None:
            raise ExecutionError(f"the engine ran and did not tell the shape of its output {self.name!r}")
        if math.prod(self._shape) * itemsize > self.buffer.capacity_bytes:
            raise ExecutionError(
                f"the engine gave output {self.name!r} of shape {self._shape}, for which there are only "
                f"{self.buffer.capacity_bytes} bytes"
            )
        return self._shape

    def close(self) -> None:
        """Free the memory."""
        self.buffer.close()

    def _reserve(self, num_bytes: int) -> int:
        # An exception must not pass through the library; address 0 tells it that there is no memory, even
        # where it needs none.
        try:
            self.buffer.reserve(max(int(num_bytes), 1))
        except BaseException as error:
            self._error = self._error or error
            return 0
        return self.buffer.address

    def _learn(self, shape: Any) -> None:
        try:
            self._shape = tuple(int(size) for size in shape)
        except BaseException as error:
            self._error = self._error or error
