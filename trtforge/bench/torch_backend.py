"""PyTorch, eager or compiled, inside a worker; needs nothing of trtforge beside this package."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TorchBackend:
    """A module on the GPU where there is one, else on the CPU.

    Input and output are FP32 in every precision, as they are of the ONNX networks and the engines; what an
    FP16 module takes is converted inside the call.
    """

    def __init__(self) -> None:
        import torch

        self._torch: Any = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._call: Any = None
        self._sets: list[Any] = []
        self._names: tuple[str, ...] = ()
        self._output_names: tuple[str, ...] = ()
        self._marks: tuple[Any, Any] = (None, None)
        self._is_on_gpu = self._device == "cuda"

    def versions(self) -> dict[str, str]:
        """Name what decides the speed."""
        torch = self._torch
        found: dict[str, str] = {"torch": torch.__version__, "numpy": np.__version__}
        if self._is_on_gpu:
            found |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
        return found

    def load(
        self,
        *,
        constructor: str,
        model: str,
        number: str,
        is_compiled: bool,
        inputs: list[str],
        outputs: list[str],
        num_threads: int | None = None,
        **_: Any,
    ) -> None:
        """Make the module that a function returns of the ONNX file.

        Parameters
        ----------
        constructor : ``module:function``; the function takes the path of the ONNX file and returns an FP32
            module that computes the same, its arguments in the order of ``inputs``.
        model : that path.
        number : ``fp32``, ``tf32`` or ``fp16``.
        is_compiled : whether to run it through ``torch.compile``.
        inputs, outputs : names of the network's.
        num_threads : threads on the CPU; the library's default if None.
        """
        torch = self._torch
        if num_threads:
            torch.set_num_threads(num_threads)
        allowed = number != "fp32"
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cudnn.benchmark = True
        source, function = constructor.split(":", 1)
        module = getattr(importlib.import_module(source), function)(model)
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{constructor} gave {type(module).__name__}, and no torch.nn.Module")
        module = module.eval()
        dtype = torch.float16 if number == "fp16" else torch.float32
        module = module.to(self._device, dtype)
        whole = _Floats(torch, module, dtype)
        self._names, self._output_names = tuple(inputs), tuple(outputs)
        if is_compiled:
            mode = "reduce-overhead" if self._is_on_gpu else "default"
            whole = torch.compile(whole, mode=mode, dynamic=False)
        self._call = whole
        if self._is_on_gpu:
            self._marks = tuple(torch.cuda.Event(enable_timing=True) for _ in range(2))

    def prepare(self, sets: Mapping[str, NDArray[Any]]) -> str:
        """Put the inputs on the device and run until a compiled module has recorded its graphs."""
        tensors = [self._torch.from_numpy(sets[name]).to(self._device) for name in self._names]
        self._sets = [tuple(tensor[index] for tensor in tensors) for index in range(len(tensors[0]))]
        for index in range(3):
            self.launch(index)
        self.synchronize()
        return "call"

    def launch(self, index: int) -> None:
        """Call the module."""
        with self._torch.inference_mode():
            self._call(*self._sets[index % len(self._sets)])

    def synchronize(self) -> None:
        """Wait for the GPU."""
        if self._is_on_gpu:
            self._torch.cuda.synchronize()

    def mark(self, which: int) -> None:
        """Record an event."""
        if self._is_on_gpu:
            self._marks[which].record()

    def elapsed_ms(self) -> float | None:
        """Return the time between the events."""
        return float(self._marks[0].elapsed_time(self._marks[1])) if self._is_on_gpu else None

    def run(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return the outputs by name."""
        given = [self._torch.from_numpy(np.array(arrays[name])).to(self._device) for name in self._names]
        with self._torch.inference_mode():
            returned = self._call(*given)
        values = returned if isinstance(returned, tuple | list) else (returned,)
        if len(values) != len(self._output_names):
            raise ValueError(
                f"the module gives {len(values)} outputs, the network {', '.join(self._output_names)}"
            )
        return {name: value.cpu().numpy() for name, value in zip(self._output_names, values, strict=True)}

    def release(self) -> None:
        """Let go of the inputs and of what PyTorch keeps for later."""
        self._sets = []
        if self._is_on_gpu:
            self._torch.cuda.empty_cache()


def _Floats(torch: Any, module: Any, dtype: Any) -> Any:  # noqa: N802 - makes a class whose base is imported late
    """Wrap a module so that it takes and gives FP32."""

    class Floats(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *values: Any) -> Any:
            made = self.inner(*(x.to(dtype) if x.is_floating_point() else x for x in values))
            return tuple(x.float() for x in made) if isinstance(made, tuple) else made.float()

    return Floats()
