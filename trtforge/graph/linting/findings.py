"""What a check reports, and what it is told of the library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True)
class LintFinding:
    """One thing that does not suit the library.

    Parameters
    ----------
    rule : short stable name of the kind of fault.
    severity : ``error`` where it does not build or computes other numbers, ``warning`` where it builds and
        loses time or accuracy.
    node : what the node is known by, or ``""`` for the network as a whole.
    message : what is there, and what the library makes of it.
    remedy : what to do about it.
    settings : what the remedy asks of `trtforge.quantize`, argument to value.
    """

    rule: str
    severity: Severity
    node: str
    message: str
    remedy: str
    settings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.severity} {self.rule}: {self.message}; {self.remedy}"


@dataclass(frozen=True)
class Target:
    """What a library takes of quantized networks; the defaults are those of TensorRT 10 and later and RTX.

    Parameters
    ----------
    name : the library and its version, for messages.
    max_onnx_opset : the latest opset that it reads.
    quantized_types : names of the types that it quantizes to, as in ``onnx.TensorProto``.
    has_half_scales : whether scales may be FP16.
    reads_stored_weights : whether weights may be stored in INT8, without a quantizer before them.
    reads_every_quantized_convolution : whether 1-D convolutions may be quantized as they are.
    attention_head_sizes : widths of heads that its kernels of ``Attention`` take, in FP16 and BF16; None
        where it is not known.
    """

    name: str = "TensorRT"
    max_onnx_opset: int = 24
    quantized_types: tuple[str, ...] = ("INT8", "FLOAT8E4M3FN", "INT4", "FLOAT4E2M1")
    has_half_scales: bool = True
    reads_stored_weights: bool = True
    reads_every_quantized_convolution: bool = True
    attention_head_sizes: range | None = None
