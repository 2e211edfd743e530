"""A contender that takes part: its worker, and what it has cost so far."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._closing import Closing
from trtforge.bench.config import BenchConfig, Case
from trtforge.bench.contenders import Contender
from trtforge.bench.process import WorkerProcess
from trtforge.bench.subject import Subject, shape_of
from trtforge.errors import ConfigError
from trtforge.model import TensorSpec, load_model, model_digest
from trtforge.nvidia.telemetry import Telemetry

Arrays = Mapping[str, NDArray[Any]]
# Q/DQ pairs, and the operators of graphs that were quantized in other ways.
_QUANTIZED = re.compile(r"QuantizeLinear$|^QLinear|Integer$")


class Member(Closing):
    """A contender with its network loaded.

    Memory on the GPU is what all processes hold after an answer less what they held before the question: one
    worker acts at a time.

    Parameters
    ----------
    subject, contender : what is run, and how.
    specs : the network's inputs and outputs.
    config : times and rounds.
    python : the interpreter that has the contender's library; this one by default.
    folder : where engines are kept.
    telemetry : of the GPU.

    Attributes
    ----------
    facts : versions, times to build and load, memory once loaded; plain JSON values.
    device_bytes : what it holds on the GPU now; None where that is not told.
    """

    def __init__(
        self,
        subject: Subject,
        contender: Contender,
        specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
        config: BenchConfig,
        *,
        python: str | None,
        folder: Path,
        telemetry: Telemetry,
    ) -> None:
        self.contender, self._telemetry = contender, telemetry
        self.device_bytes: int | None = None if telemetry.used_bytes() is None else 0
        inputs, outputs = specs
        if contender.number == "int8":
            _check_quantized(_network_of(subject, contender))
        options: dict[str, Any] = {
            "model": str(_network_of(subject, contender)),
            "num_threads": config.num_threads,
        }
        built: dict[str, Any] = {}
        with ExitStack() as stack:
            if contender.library == "tensorrt":
                built = build_engine(subject, contender, inputs, config, python=python, folder=folder)
                options = {"engine": built.pop("engine")}
            if contender.library == "torch":
                options |= {
                    "constructor": subject.constructor,
                    "number": contender.number,
                    "is_compiled": contender.is_compiled,
                    "inputs": [spec.name for spec in inputs],
                    "outputs": [spec.name for spec in outputs],
                }
            self._worker = stack.enter_context(_process(subject, contender, config, python))
            about = self.ask("about")
            loaded = self.ask("load", **options)
            self._stack = stack.pop_all()
        self.facts: dict[str, Any] = {
            **built,
            "python": about["python"],
            "versions": about["versions"],
            "import_s": about["import_s"],
            "load_s": loaded["load_s"],
            "device_bytes": self.device_bytes,
            "host_bytes": loaded.get("rss_bytes"),
        }

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask the worker, and note what that changed of the GPU's memory."""
        before = self._telemetry.used_bytes()
        try:
            return self._worker.ask(do, **arguments)
        finally:
            after = self._telemetry.used_bytes()
            if before is not None and after is not None and self.device_bytes is not None:
                self.device_bytes += after - before

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Run once on these arrays."""
        with tempfile.TemporaryDirectory(prefix="trtforge-bench-") as folder:
            given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
            np.savez(given, **arrays)  # type: ignore[arg-type]
            self.ask("run", inputs=str(given), outputs=str(made))
            with np.load(made) as values:
                return {name: values[name] for name in values.files}

    def close(self) -> None:
        """End the worker."""
        self._stack.close()


def build_engine(
    subject: Subject,
    contender: Contender,
    inputs: tuple[TensorSpec, ...],
    config: BenchConfig,
    *,
    python: str | None,
    folder: Path,
) -> dict[str, Any]:
    """Build the engine of a contender in a process of its own, unless the folder holds it.

    What building needs is then no part of what running holds.

    Returns
    -------
    ``engine``, its path; ``build_s``, also where it was built another time; ``plan_bytes``,
    ``layer_precisions``; ``way``, in words where it could not be built as asked; and
    ``build_peak_rss_bytes``, the host memory that this process needed at most.

    Raises
    ------
    ExecutionError : it could not be built.
    """
    model = _network_of(subject, contender)
    settings: dict[str, Any] = {
        "number": contender.number,
        "profiles": engine_profiles(inputs, subject.cases, config),
        "optimization_level": config.optimization_level,
    }
    # Of the weights too, which may lie in files of their own.
    held = model_digest(load_model(model))
    digest = hashlib.sha256(held.encode() + json.dumps(settings).encode()).hexdigest()
    engine = folder / f"{subject.name.replace(' ', '_')}.{contender.name}.{digest[:12]}.engine"
    if contender.number == "int8" and subject.scales is not None:
        settings |= {"unquantized": str(subject.model), "scales": str(subject.scales)}
    with _process(subject, contender, config, python) as worker:
        built = worker.ask("build", model=str(model), engine=str(engine), **settings)
    built["build_peak_rss_bytes"] = built.pop("peak_rss_bytes", None)
    built.pop("rss_bytes", None)
    return {"engine": str(engine), **built}


def _process(
    subject: Subject, contender: Contender, config: BenchConfig, python: str | None
) -> WorkerProcess:
    return WorkerProcess(contender.library, python=python, paths=subject.paths, timeout_s=config.timeout_s)


def _check_quantized(path: Path) -> None:
    """Refuse a network whose times would not be those of INT8."""
    if not any(_QUANTIZED.search(node.op_type) for node in load_model(path).graph.node):
        raise ConfigError(
            f"{path} has no quantizers, and would be timed as INT8",
            hint="make the quantized network with trtforge quantize",
        )


def _network_of(subject: Subject, contender: Contender) -> Path:
    if contender.number == "int8" and subject.quantized is not None:
        return subject.quantized
    return subject.model


def engine_profiles(
    inputs: tuple[TensorSpec, ...], cases: tuple[Case, ...], config: BenchConfig
) -> list[dict[str, list[list[int]]]]:
    """Return smallest, tuned-for and largest shape of each input, for each profile of an engine.

    With ``profiles="wide"`` there is one, from the smallest case to the largest, tuned for the one in the
    middle.
    """
    if all(isinstance(size, int) for spec in inputs for size in spec.shape):
        return []
    shapes = [{spec.name: list(shape_of(spec, case)) for spec in inputs} for case in cases]
    if config.profiles == "each":
        return [{name: [size] * 3 for name, size in shape.items()} for shape in shapes]
    wide = {}
    for name in shapes[0]:
        columns = [sorted(sizes) for sizes in zip(*(shape[name] for shape in shapes), strict=True)]
        wide[name] = [[column[at] for column in columns] for at in (0, len(shapes) // 2, len(shapes) - 1)]
    return [wide]
