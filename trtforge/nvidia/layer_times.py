"""Take the times of an engine's layers from the library's profiler."""

from __future__ import annotations

from typing import Any


class LayerTimer:
    """Adds up what the library reports of each layer.

    Parameters
    ----------
    trt : the library.

    Attributes
    ----------
    listener : the ``IProfiler`` that a context is given; it must live as long as the context.
    total_ms : layer name to its time in milliseconds, summed over inferences, in the order of execution.

    References
    ----------
    NVIDIA, TensorRT API, ``IProfiler``.
    """

    def __init__(self, trt: Any) -> None:
        self.total_ms: dict[str, float] = {}
        owner = self

        class Profiler(trt.IProfiler):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.IProfiler.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                owner.total_ms[layer_name] = owner.total_ms.get(layer_name, 0.0) + float(ms)

        self.listener = Profiler()

    def begin(self) -> None:
        """Forget what was reported."""
        self.total_ms.clear()
