"""CUDA graphs: record an inference once, then launch it without the host's part of the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trtforge.nvidia import cuda


class Graph:
    """Work of a stream, recorded and ready to be launched again.

    Parameters
    ----------
    stream : where the work is recorded.
    work : queues it; must have run once before, so that nothing is set up while recording.

    Raises
    ------
    ExecutionError : CUDA or the library refuses to record; the stream is usable again.
    """

    def __init__(self, stream: cuda.Stream, work: Callable[[], None]) -> None:
        cudart = cuda.runtime_api()
        self._launchable: Any = None
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        _checked(cudart.cudaStreamBeginCapture(stream.handle, mode), "begin a CUDA graph")
        try:
            work()
        except BaseException:
            cudart.cudaStreamEndCapture(stream.handle)
            cudart.cudaGetLastError()
            raise
        recorded = _checked(cudart.cudaStreamEndCapture(stream.handle), "end a CUDA graph")
        try:
            self._launchable = _checked(cudart.cudaGraphInstantiate(recorded, 0), "prepare a CUDA graph")
        finally:
            cudart.cudaGraphDestroy(recorded)

    def launch(self, stream: cuda.Stream) -> None:
        """Queue the recorded work."""
        _checked(cuda.runtime_api().cudaGraphLaunch(self._launchable, stream.handle), "launch a CUDA graph")

    def close(self) -> None:
        """Give the graph back; closing twice does nothing."""
        if self._launchable is not None:
            launchable, self._launchable = self._launchable, None
            _checked(cuda.runtime_api().cudaGraphExecDestroy(launchable), "free a CUDA graph")


def _checked(result: Any, doing: str) -> Any:
    error, *values = result
    if error.name != "cudaSuccess":
        cuda.raise_cuda_error(error.name, doing)
    return values[0] if values else None
