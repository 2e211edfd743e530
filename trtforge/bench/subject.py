"""A network that is benchmarked, and what it is run on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.audio import ClipSet, features_from_json
from trtforge.bench.config import BenchConfig, Case
from trtforge.bench.contenders import Contender
from trtforge.errors import ConfigError, ModelError
from trtforge.model import FEATURES_KEY, TensorSpec, load_model, model_inputs, model_metadata, model_outputs

Rows = Mapping[str, NDArray[Any]]
_NUM_ROWS = 32


@dataclass(frozen=True)
class Subject:
    """A network and its variants.

    Parameters
    ----------
    name : what it is called in results.
    model : the ``.onnx`` file in FP32.
    cases : the shapes that engines are built for.
    quantized : the ``.onnx`` file with Q/DQ pairs, for INT8, and FP32 in between, which TensorRT 8.6 and ONNX
        Runtime on a CPU take; None where there is none.
    scales : the scales that ``quantized`` was made with: where TensorRT 8.6 or 10 cannot build that, they
        build ``model`` with these, and a library that runs the types of the network gets ``model`` quantized
        with FP16 in between. None where there are none.
    constructor : ``module:function`` that makes the PyTorch module of the path ``model``; None where there is
        none.
    paths : folders that ``constructor`` is looked for in.
    rows : gives input for a case, name to array, its first axis so many rows as there are; Gaussian noise by
        default.
    inputs_are : what ``rows`` gives, in words.
    clips : what word errors are counted on, with texts; None counts none. They are padded to the longest
        case.
    timed : those of the cases that are timed now, with the engines of all; None times all.
    config : how this network is run, where that differs from the others.
    about : one sentence on the network, for the page.

    Raises
    ------
    ConfigError : there is no case, one is timed that is none of them, or ``constructor`` names no function.
    """

    name: str
    model: Path
    cases: tuple[Case, ...]
    quantized: Path | None = None
    scales: Path | None = None
    constructor: str | None = None
    paths: tuple[str, ...] = ()
    rows: Callable[[Case], Rows] | None = None
    inputs_are: str = "Gaussian noise"
    clips: ClipSet | None = None
    timed: tuple[Case, ...] | None = None
    config: BenchConfig | None = None
    about: str = ""

    def __post_init__(self) -> None:
        if not self.cases:
            raise ConfigError(f"{self.name}: no shape to time", hint="give a batch size", settings=("cases",))
        if self.constructor is not None and not all(self.constructor.partition(":")):
            raise ConfigError(
                f"{self.name}: the constructor must be MODULE:FUNCTION, got {self.constructor!r}",
                settings=("constructor",),
            )
        for case in self.timed or ():
            if case not in self.cases:
                raise ConfigError(
                    f"{self.name}: {case} is timed, and engines are built for {list(self.cases)}",
                    settings=("timed",),
                )

    def specs(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Return inputs and outputs of the network."""
        network = load_model(self.model)
        return model_inputs(network), model_outputs(network)

    def check(self) -> None:
        """See that the network takes the cases.

        Raises
        ------
        ConfigError : it has no input, or one without an axis for the rows or with another number of them, or
            a case has frames and no input such an axis.
        """
        inputs, _ = self.specs()
        if not inputs:
            raise ConfigError(f"{self.name}: the network has no input to be given")
        for spec in inputs:
            if not spec.shape:
                raise ConfigError(f"{self.name}: input {spec} has no axis for the rows of a batch")
            for case in self.cases:
                if spec.shape[0] != case.batch and isinstance(spec.shape[0], int):
                    raise ConfigError(
                        f"{self.name}: input {spec} is fixed at {spec.shape[0]} rows, and a batch of "
                        f"{case.batch} was asked",
                        hint=f"time batches of {spec.shape[0]} alone, or export the network with a dynamic "
                        "first axis",
                        settings=("cases",),
                    )
        if self.rows is not None:
            return
        lengths = {spec.shape[-1] for spec in inputs if len(spec.shape) > 1}
        fixed = all(isinstance(length, int) for length in lengths)
        for case in self.cases:
            if case.frames is not None and fixed and case.frames not in lengths:
                raise ConfigError(
                    f"{self.name}: {case.frames} frames were asked, and the last axes are fixed: "
                    f"{', '.join(map(str, inputs))}",
                    hint="give the length that the network is fixed at, or none",
                    settings=("frames",),
                )

    def input_rows(self, case: Case, inputs: tuple[TensorSpec, ...]) -> dict[str, NDArray[Any]]:
        """Return rows of input for a case.

        Raises
        ------
        ConfigError : ``rows`` gives other inputs than the network's, or not as many rows of each; where it is
            not given, an axis other than the first and the last is dynamic, the last one is and the case has
            no frames, or an input is not of floating point.
        """
        if self.rows is not None:
            rows = dict(self.rows(case))
            counts = {len(array) for array in rows.values()}
            if set(rows) != {spec.name for spec in inputs} or len(counts) > 1 or 0 in counts:
                given = ", ".join(f"{name} {list(np.shape(array))}" for name, array in rows.items())
                raise ConfigError(
                    f"{self.name}: rows gave {given or 'nothing'} for {case}, and the inputs are "
                    f"{'; '.join(map(str, inputs))}",
                    hint="give every input by name, all with as many rows, one or more",
                    settings=("rows",),
                )
            return rows
        generator = np.random.default_rng(0)
        for spec in inputs:
            if not np.issubdtype(np.dtype(spec.dtype), np.floating):
                raise ConfigError(
                    f"input {spec} is not of floating point, and noise is no input for it",
                    hint="give input that the network knows; from Python, as Subject(rows=...)",
                    settings=("rows",),
                )
        return {
            spec.name: generator.standard_normal((_NUM_ROWS, *shape_of(spec, case)[1:])).astype(spec.dtype)
            for spec in inputs
        }

    def frame_s(self) -> float:
        """Return the duration of a frame in seconds: as the network's features say, or else 10 ms."""
        said = model_metadata(load_model(self.model)).get(FEATURES_KEY)
        try:
            features = features_from_json(json.loads(said or "{}"))
        except (ModelError, ValueError):  # none, or of a kind of someone else's
            return 0.01
        seconds = 1000
        return seconds / (features.num_frames(seconds * features.sampling_rate) - 1)

    def lacks(self, contender: Contender, *, has_gpu: bool) -> str | None:
        """Say what a contender needs that is not there, or None."""
        if contender.needs_gpu and not has_gpu:
            return "needs a GPU"
        if contender.library == "torch" and self.constructor is None:
            return "needs a function that makes the PyTorch module (--torch MODULE:FUNCTION)"
        if contender.number == "int8" and self.quantized is None:
            return "needs a quantized network (--int8 MODEL, or --calibration-set DIR to make one)"
        return None


def shape_of(spec: TensorSpec, case: Case) -> tuple[int, ...]:
    """Return the shape of an input in a case: its first axis is the batch, its last may be the time.

    Raises
    ------
    ConfigError : that leaves an axis open.
    """
    sizes: list[int] = []
    for axis, size in enumerate(spec.shape):
        if axis == 0:
            sizes.append(case.batch)
        elif isinstance(size, int):
            sizes.append(size)
        elif axis == len(spec.shape) - 1 and case.frames is not None:
            sizes.append(case.frames)
        else:
            what = "is dynamic, and no length was given" if axis == len(spec.shape) - 1 else "is dynamic"
            raise ConfigError(
                f"axis {axis} of input {spec} {what}",
                hint="give --frames; other axes than the first and the last must be fixed",
                settings=("frames",),
            )
    return tuple(sizes)
