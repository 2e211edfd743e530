"""What runs a network inside an actor, and how it is told to be the right one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.engine import Manifest, load_manifest
from trtforge.errors import EngineIntegrityError, ModelError, OutOfMemoryError
from trtforge.model import load_model, model_digest
from trtforge.runtime import OnnxRunner, Session

ENGINE_SUFFIX = ".engine"
# A process that died gives its GPU memory back a moment after the next one starts.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class RunnerSource:
    """A network or an engine, by path and digest, so that every machine runs the same.

    Parameters
    ----------
    path : of an ``.engine`` file, run on a GPU, or of an ``.onnx`` file, run by ONNX Runtime on the CPU.
    digest : of the plan or of the network.
    """

    path: str
    digest: str

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> RunnerSource:
        """Describe what lies at a path, here.

        Raises
        ------
        EngineIntegrityError : the engine's manifest is missing or altered.
        ModelError : the network cannot be read.
        """
        absolute = str(Path(path).resolve())
        if absolute.endswith(ENGINE_SUFFIX):
            return cls(absolute, load_manifest(absolute).plan_sha256)
        return cls(absolute, model_digest(load_model(absolute)))

    @property
    def needs_gpu(self) -> bool:
        """Whether it is an engine."""
        return self.path.endswith(ENGINE_SUFFIX)

    def open(self, *, num_threads: int = 1) -> Session | OnnxRunner:
        """Load it, hold it against the digest, and run it once where it is an engine.

        Raises
        ------
        EngineIntegrityError, ModelError : another network or engine lies at the path on this machine.
        OutOfMemoryError : the GPU had no room for a minute.
        """
        if not self.needs_gpu:
            model = load_model(self.path)
            if model_digest(model) != self.digest:
                raise ModelError(f"{self.path} on this machine is not the network of the job")
            return OnnxRunner(model, num_threads=num_threads)
        session = _open_when_there_is_room(self.path)
        if session.engine.manifest.plan_sha256 != self.digest:
            session.close()
            raise EngineIntegrityError(f"{self.path} on this machine is not the engine of the job")
        session.run(warm_up_feed(session.engine.manifest))
        return session


def warm_up_feed(manifest: Manifest) -> Mapping[str, NDArray[Any]]:
    """Return zeros of the shapes that the first profile is tuned for."""
    tuned = manifest.profiles[0].shapes if manifest.profiles else {}
    return {
        spec.name: np.zeros(
            tuned[spec.name].opt
            if spec.name in tuned
            else [size for size in spec.shape if isinstance(size, int)],
            spec.dtype,
        )
        for spec in manifest.inputs
    }


def _open_when_there_is_room(path: str) -> Session:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return Session(path, max_contexts=1, on_nonfinite="raise")
        except OutOfMemoryError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
