"""One contender in a process of its own: reads requests as lines of JSON, answers each with one line.

It runs in whatever interpreter has the contender's library, and imports of trtforge only what it needs.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from trtforge.bench.timing import burst, settle, singles

_BACKENDS = {
    "torch": "trtforge.bench.torch_backend:TorchBackend",
    "onnxruntime": "trtforge.bench.onnxruntime_backend:OnnxRuntimeBackend",
    "tensorrt": "trtforge.bench.tensorrt_backend:TensorRtBackend",
}


class Worker:
    """Answers requests about one contender.

    Parameters
    ----------
    library : one of ``torch``, ``onnxruntime`` and ``tensorrt``.
    """

    def __init__(self, library: str) -> None:
        begin = time.perf_counter()
        module, _, name = _BACKENDS[library].partition(":")
        self._backend: Any = getattr(importlib.import_module(module), name)()
        self._import_s = time.perf_counter() - begin

    def about(self) -> dict[str, Any]:
        """Say which versions answer, and how long it took to import them."""
        return {
            "python": sys.version.split()[0],
            "versions": self._backend.versions(),
            "import_s": self._import_s,
            **_memory(),
        }

    def build(self, **options: Any) -> dict[str, Any]:
        """Make what `load` reads; only TensorRT needs that."""
        return {**self._backend.build(**options), **_memory()}

    def load(self, **options: Any) -> dict[str, Any]:
        """Make the contender ready to be given input."""
        begin = time.perf_counter()
        self._backend.load(**options)
        return {"load_s": time.perf_counter() - begin, **_memory()}

    def prepare(self, inputs: str, batch: int, cache_bytes: int) -> dict[str, Any]:
        """Put the input of one shape where it is read, and run it once."""
        sets = rotate(_read(inputs), batch, cache_bytes)
        num_bytes = sum(array.nbytes for array in sets.values())
        begin = time.perf_counter()
        launched_by = self._backend.prepare(sets)
        self._backend.launch(0)
        self._backend.synchronize()
        return {
            "first_call_s": time.perf_counter() - begin,
            "launched_by": launched_by,
            "sets": len(next(iter(sets.values()))),
            "set_bytes": num_bytes,
            "past_cache": num_bytes > cache_bytes,
            **_memory(),
        }

    def settle(self, **options: Any) -> dict[str, Any]:
        """Warm up until times settle."""
        return {**settle(self._backend, **options), **_memory()}

    def singles(self, **options: Any) -> dict[str, Any]:
        """Time calls that are waited for, one by one."""
        return singles(self._backend, **options)

    def burst(self, **options: Any) -> dict[str, Any]:
        """Time calls that are queued without waiting."""
        return {**burst(self._backend, **options), **_memory()}

    def run(self, inputs: str, outputs: str) -> dict[str, Any]:
        """Run once on what a file holds, and write the outputs."""
        np.savez(outputs, **self._backend.run(_read(inputs)))
        return {}

    def release(self) -> dict[str, Any]:
        """Let go of the input of the last shape."""
        self._backend.release()
        return _memory()


def rotate(rows: dict[str, np.ndarray[Any, Any]], batch: int, cache_bytes: int) -> dict[str, Any]:
    """Make so many batches of some rows that together they do not fit in the cache.

    Parameters
    ----------
    rows : name to array, its first axis the rows.
    batch : rows of a batch; rows come again where there are fewer.
    cache_bytes : what must be exceeded twice, where less than half a GiB does.

    Returns
    -------
    Name to array [num_sets, batch, ...], 2 sets or more.
    """
    num_rows = len(next(iter(rows.values())))
    one = batch * sum(array[:1].nbytes for array in rows.values())
    count = int(max(2, min(-(-2 * cache_bytes // one), (1 << 29) // one)))
    index = (np.arange(count * batch) % num_rows).reshape(count, batch)
    return {name: np.ascontiguousarray(array[index]) for name, array in rows.items()}


def _read(path: str) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _memory() -> dict[str, int]:
    """Return what the process holds of host memory, now and at most so far, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Vm")}
    return {"rss_bytes": sizes["VmRSS"], "peak_rss_bytes": sizes["VmHWM"]}


def serve(requests: TextIO, answers: TextIO, library: str) -> None:
    """Answer requests until there are no more."""
    worker: Worker | None = None
    for line in requests:
        request = json.loads(line)
        try:
            worker = worker or Worker(library)
            act: Callable[..., dict[str, Any]] = getattr(worker, request.pop("do"))
            answer: dict[str, Any] = {"ok": act(**request)}
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            answer = {"error": str(error), "kind": type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Serve on the standard streams; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers, sys.argv[1])


if __name__ == "__main__":
    main()
