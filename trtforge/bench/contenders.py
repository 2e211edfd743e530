"""What is compared: a library, a precision, and how they are run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trtforge.errors import ConfigError

Library = Literal["torch", "onnxruntime", "tensorrt"]
Number = Literal["fp32", "tf32", "fp16", "int8"]


@dataclass(frozen=True)
class Contender:
    """One way of running a network.

    Parameters
    ----------
    name : what it is called on the command line and in results.
    title : what it is called in tables.
    library : what runs it.
    number : what its products are computed in; ``tf32`` is FP32 whose factors may be rounded to TF32.
    is_compiled : of PyTorch, ``torch.compile`` with CUDA graphs where there is a GPU.
    """

    name: str
    title: str
    library: Library
    number: Number
    is_compiled: bool = False

    @property
    def needs_gpu(self) -> bool:
        """Whether it does not run on a CPU alone, or makes no sense there."""
        return self.library == "tensorrt" or (self.library == "torch" and self.number in ("tf32", "fp16"))


_ALL = (
    Contender("torch-eager-fp32", "PyTorch eager FP32", "torch", "fp32"),
    Contender("torch-compiled-fp32", "PyTorch compiled FP32", "torch", "fp32", is_compiled=True),
    Contender("torch-eager-tf32", "PyTorch eager TF32", "torch", "tf32"),
    Contender("torch-eager-fp16", "PyTorch eager FP16", "torch", "fp16"),
    Contender("torch-compiled-fp16", "PyTorch compiled FP16", "torch", "fp16", is_compiled=True),
    Contender("onnxruntime-fp32", "ONNX Runtime FP32", "onnxruntime", "fp32"),
    Contender("onnxruntime-int8", "ONNX Runtime INT8", "onnxruntime", "int8"),
    Contender("tensorrt-fp32", "TensorRT FP32", "tensorrt", "fp32"),
    Contender("tensorrt-tf32", "TensorRT TF32", "tensorrt", "tf32"),
    Contender("tensorrt-fp16", "TensorRT FP16", "tensorrt", "fp16"),
    Contender("tensorrt-int8", "TensorRT INT8", "tensorrt", "int8"),
)
CONTENDERS = {contender.name: contender for contender in _ALL}
_ON_GPU = (
    "torch-eager-fp16", "torch-compiled-fp16",
    "tensorrt-fp32", "tensorrt-tf32", "tensorrt-fp16", "tensorrt-int8",
)  # fmt: skip
_ON_CPU = ("torch-eager-fp32", "torch-compiled-fp32", "onnxruntime-fp32", "onnxruntime-int8")


def default_contenders(*, has_gpu: bool) -> tuple[Contender, ...]:
    """Return who takes part where nobody is named; on a GPU, those that use it."""
    return select_contenders(_ON_GPU if has_gpu else _ON_CPU)


def select_contenders(names: Sequence[str]) -> tuple[Contender, ...]:
    """Return contenders by name, each once, in the order given.

    Raises
    ------
    ConfigError : a name is unknown, or there is none.
    """
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown or not names:
        raise ConfigError(
            f"no contender {unknown[0]!r}" if unknown else "no contender was named",
            hint=f"there are {', '.join(CONTENDERS)}",
            settings=("contenders",),
        )
    return tuple(CONTENDERS[name] for name in dict.fromkeys(names))
