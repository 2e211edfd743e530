"""ONNX's own tests of each operator: networks, inputs and what FP32 gives."""

import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

from trtforge._ort import make_session

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Case:
    """One test: its network, input by name, and the outputs in FP32, in the network's order."""

    name: str
    model: onnx.ModelProto
    arrays: Arrays
    expected: list[Any]

    def with_constants(self, inputs: Collection[str]) -> "Case":
        """Return the same test with some inputs as constants of the network."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for value in self.model.graph.input:
            if value.name in inputs:
                model.graph.input.remove(value)
                model.graph.initializer.append(numpy_helper.from_array(self.arrays[value.name], value.name))
        arrays = {name: array for name, array in self.arrays.items() if name not in inputs}
        return Case(self.name, model, arrays, self.expected)


def float_cases() -> Iterator[Case]:
    """Yield each test that reads FP32 and runs in ONNX Runtime."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    for case in cases:
        model = case.model
        if model is None or not case.data_sets:
            continue
        values = [*model.graph.input, *model.graph.output]
        if not all(value.type.HasField("tensor_type") for value in values):
            continue
        if not any(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in model.graph.input):
            continue
        given = case.data_sets[0][0]
        if not all(isinstance(value, np.ndarray) or np.isscalar(value) for value in given):
            continue
        arrays = {
            value.name: np.asarray(array) for value, array in zip(model.graph.input, given, strict=False)
        }
        try:
            expected = run(model, arrays)
        except Exception:  # noqa: S112 - what this release of ONNX Runtime lacks
            continue
        yield Case(case.name, model, arrays, expected)


def run(model: onnx.ModelProto, arrays: Arrays, names: list[str] | None = None) -> list[Any]:
    """Run a network on one thread; return its outputs, or those of some names."""
    return list(make_session(model, purpose="test", num_threads=1).run(names, arrays))


def is_close(expected: Any, got: Any, tolerance: float) -> bool:
    """Say whether all values agree, up to a share of the largest one; whole numbers exactly."""
    if expected.dtype.kind != "f":
        return np.array_equal(expected, got)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return expected.shape == got.shape and np.allclose(
        got, expected, rtol=tolerance, atol=tolerance * largest, equal_nan=True
    )


def all_close(expected: list[Any], got: list[Any], tolerance: float) -> bool:
    """Say whether all outputs agree as `is_close` has it."""
    return all(is_close(*pair, tolerance) for pair in zip(expected, got, strict=True))
