"""Run a network in ONNX Runtime: the reference that needs no GPU."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._ort import make_session
from trtforge.errors import ExecutionError
from trtforge.feeds import Arrays
from trtforge.model import ModelSource, load_model, model_inputs, model_outputs
from trtforge.runtime.inputs import check_inputs


class OnnxRunner:
    """A network in ONNX Runtime on the CPU; call it, or `run`, with named arrays.

    It may be used from several threads at once.

    Parameters
    ----------
    model : the network, as `trtforge.model.load_model` takes it.
    num_threads : threads inside an operator; all usable cores by default.

    Raises
    ------
    MissingExtraError : ONNX Runtime is not installed.
    ModelError : the network cannot be read or loaded.
    """

    def __init__(self, model: ModelSource, *, num_threads: int | None = None) -> None:
        network = load_model(model)
        self.inputs = model_inputs(network)
        self.outputs = model_outputs(network)
        self._session: Any = make_session(network, purpose="run networks on the CPU", num_threads=num_threads)

    def __call__(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Do as `run` does."""
        return self.run(arrays)

    def __enter__(self) -> OnnxRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Run the network once.

        Parameters
        ----------
        arrays : input name to array, of the dtypes and shapes in `inputs`.

        Returns
        -------
        Output name to array.

        Raises
        ------
        InputError : an input does not fit; the message names it.
        ExecutionError : ONNX Runtime failed, or the runner is closed.
        """
        checked = check_inputs(self.inputs, arrays)
        session = self._session
        if session is None:
            raise ExecutionError("the runner is closed", hint="make another OnnxRunner")
        names = [spec.name for spec in self.outputs]
        try:
            values = session.run(names, checked)
        except Exception as error:  # the bindings raise their own unexported kinds
            shapes = ", ".join(f"{name} {array.shape}" for name, array in checked.items())
            raise ExecutionError(f"ONNX Runtime failed on {shapes}: {error}") from error
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}

    def close(self) -> None:
        """Release the network; closing twice does nothing."""
        self._session = None
