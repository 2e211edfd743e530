"""Run a PyTorch module as networks are run: named NumPy arrays in, named NumPy arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._closing import Closing
from trtforge._optional import require
from trtforge.errors import DeviceLostError, ExecutionError, InputError, OutOfMemoryError
from trtforge.feeds import Arrays
from trtforge.model import TensorSpec
from trtforge.runtime.inputs import check_inputs, check_named, check_names


class TorchRunner(Closing):
    """A ``torch.nn.Module``; call it, or `run`, with named arrays.

    It may be used from several threads at once. The module is put into evaluation mode and moved to the
    device; gradients are not computed.

    Parameters
    ----------
    module : the network.
    inputs : names of the inputs in the order of ``forward``'s arguments, or `TensorSpec` where dtype and
        shape are to be checked.
    outputs : names of what ``forward`` returns, in order: a tensor, or a sequence or mapping of tensors.
    device : where to run, as PyTorch names devices.

    Raises
    ------
    MissingExtraError : PyTorch is not installed.
    InputError : there are no names, or some are equal.
    """

    def __init__(
        self,
        module: Any,
        inputs: Sequence[str | TensorSpec],
        outputs: Sequence[str],
        *,
        device: str = "cpu",
    ) -> None:
        self._torch = require("torch", "run PyTorch modules")
        self._specs = {value if isinstance(value, str) else value.name: value for value in inputs}
        self.output_names = tuple(outputs)
        for kind, names, count in (
            ("inputs", tuple(self._specs), len(inputs)),
            ("outputs", self.output_names, len(set(outputs))),
        ):
            if not names or len(names) != count:
                raise InputError(f"{kind} must be different names, one at least, got {list(names)}")
        self.device = device
        self._module: Any = module.to(device).eval()

    def __call__(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Do as `run` does."""
        return self.run(arrays)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(self._specs)

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Run the module once.

        Parameters
        ----------
        arrays : input name to array.

        Returns
        -------
        Output name to array.

        Raises
        ------
        InputError : an input does not fit; the message names it.
        OutOfMemoryError : the GPU had no memory left.
        DeviceLostError : the CUDA context is corrupt.
        ExecutionError : the module failed or returned something else, or the runner is closed.
        """
        torch, module = self._torch, self._module
        if module is None:
            raise ExecutionError("the runner is closed", hint="make another TorchRunner")
        given = [torch.from_numpy(array) for array in self._checked(arrays)]
        try:
            with torch.inference_mode():
                returned = module(*[tensor.to(self.device) for tensor in given])
                return self._named(returned)
        except ExecutionError:
            raise
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfMemoryError(f"no GPU memory left to run the module: {error}") from error
        except Exception as error:  # whatever the module's own code raises
            shapes = ", ".join(f"{name} {np.shape(arrays[name])}" for name in self._specs)
            message = f"the module failed on {shapes}: {type(error).__name__}: {error}"
            if isinstance(error, getattr(torch, "AcceleratorError", ())):
                raise DeviceLostError(message, hint="end this process and start another") from error
            raise ExecutionError(message) from error

    def close(self) -> None:
        """Release the module; closing twice does nothing."""
        self._module = None

    def _checked(self, arrays: Arrays) -> list[NDArray[Any]]:
        specs = [value for value in self._specs.values() if isinstance(value, TensorSpec)]
        wanted = [TensorSpec(name, "", ()) for name in self._specs]
        check_named(arrays)
        check_names(wanted, tuple(arrays))
        checked = check_inputs(specs, {spec.name: arrays[spec.name] for spec in specs})
        return [self._writable(name, checked.get(name, arrays[name])) for name in self._specs]

    def _writable(self, name: str, array: Any) -> NDArray[Any]:
        if not isinstance(array, np.ndarray):
            raise InputError(f"input {name!r} must be a NumPy array, got {type(array).__name__}")
        if not array.dtype.isnative or array.dtype.kind not in "biufc":
            raise InputError(
                f"input {name!r} has dtype {array.dtype}, which PyTorch lacks",
                hint="convert it with array.astype, to float32 say",
            )
        # PyTorch warns of arrays that it could write to and must not.
        return np.array(array, order="C", copy=True)

    def _named(self, returned: Any) -> dict[str, NDArray[Any]]:
        if isinstance(returned, Mapping):
            missing = [name for name in self.output_names if name not in returned]
            if missing:
                raise ExecutionError(f"the module returned {sorted(returned)}, without {missing}")
            values = [returned[name] for name in self.output_names]
        else:
            values = list(returned) if isinstance(returned, (tuple, list)) else [returned]
        if len(values) != len(self.output_names):
            raise ExecutionError(
                f"the module returned {len(values)} values, the outputs are {list(self.output_names)}"
            )
        for name, value in zip(self.output_names, values, strict=True):
            if not isinstance(value, self._torch.Tensor):
                raise ExecutionError(f"output {name!r} is a {type(value).__name__}, wanted a tensor")
        return {
            name: value.detach().cpu().numpy() for name, value in zip(self.output_names, values, strict=True)
        }
