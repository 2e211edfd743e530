"""ONNX Runtime on the CPU, inside a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class OnnxRuntimeBackend:
    """A session that runs on the calling thread and its own; nothing is queued."""

    def __init__(self) -> None:
        import onnxruntime

        self._onnxruntime: Any = onnxruntime
        self._session: Any = None
        self._sets: Mapping[str, NDArray[Any]] = {}

    def versions(self) -> dict[str, str]:
        """Name what decides the speed."""
        return {"onnxruntime": self._onnxruntime.__version__, "numpy": np.__version__}

    def load(self, *, model: str, num_threads: int | None = None, **_: Any) -> None:
        """Load the network, with the library's defaults but for the number of threads."""
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or len(os.sched_getaffinity(0))
        options.log_severity_level = 3
        self._session = self._onnxruntime.InferenceSession(
            str(Path(model)), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def prepare(self, sets: Mapping[str, NDArray[Any]]) -> str:
        """Keep the inputs."""
        self._sets = sets
        return "call"

    def launch(self, index: int) -> None:
        """Run to the end."""
        count = len(next(iter(self._sets.values())))
        self._session.run(None, {name: array[index % count] for name, array in self._sets.items()})

    def synchronize(self) -> None:
        """Do nothing: a call returns when it is done."""

    def mark(self, which: int) -> None:
        """Do nothing: no GPU takes part."""

    def elapsed_ms(self) -> None:
        """Return None: no GPU takes part."""
        return

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return the outputs by name."""
        names = [value.name for value in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(arrays)), strict=True))

    def release(self) -> None:
        """Let go of the inputs."""
        self._sets = {}
