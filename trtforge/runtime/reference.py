"""Run a network in ONNX Runtime: the reference that needs no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trtforge._closing import Closing
from trtforge._ort import make_session, reason_of
from trtforge.errors import ExecutionError, ModelError
from trtforge.feeds import Arrays
from trtforge.graph import widen_bfloat16
from trtforge.model import ModelSource, load_model, model_inputs, model_outputs
from trtforge.runtime.inputs import check_inputs

if TYPE_CHECKING:
    import onnx


class OnnxRunner(Closing):
    """A network in ONNX Runtime on the CPU; call it, or `run`, with named arrays.

    It may be used from several threads at once. ONNX Runtime has no BF16 kernels for the CPU; a network typed
    BF16 computes in FP32 here, each result rounded to BF16 (`trtforge.graph.widen_bfloat16`).

    Parameters
    ----------
    model : the network, as `trtforge.model.load_model` takes it.
    num_threads : threads inside an operator; all usable cores by default.

    Raises
    ------
    MissingExtraError : ONNX Runtime is not installed.
    ModelError : the network cannot be read or loaded, or it takes or gives BF16, for which NumPy has no type.
    """

    def __init__(self, model: ModelSource, *, num_threads: int | None = None) -> None:
        network = load_model(model)
        _refuse_bfloat16_io(network)
        self.inputs = model_inputs(network)
        self.outputs = model_outputs(network)
        self._session: Any = make_session(
            widen_bfloat16(network), purpose="run networks on the CPU", num_threads=num_threads
        )

    def __call__(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Do as `run` does."""
        return self.run(arrays)

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
            raise ExecutionError(f"ONNX Runtime failed on {shapes}: {reason_of(error)}") from error
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}

    def close(self) -> None:
        """Release the network; closing twice does nothing."""
        self._session = None


def _refuse_bfloat16_io(network: onnx.ModelProto) -> None:
    import onnx

    for value in [*network.graph.input, *network.graph.output]:
        if value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16:
            raise ModelError(
                f"{value.name!r} is BF16, and ONNX Runtime takes and gives no BF16 arrays in Python",
                hint="type the network with keep_io=True, so that inputs and outputs stay float32",
                settings=("keep_io",),
            )
