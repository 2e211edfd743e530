"""Quantized networks against what a library takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trtforge.errors import ConfigError, ModelError
from trtforge.graph.index import QUANTIZERS
from trtforge.graph.linting import LintFinding, Target
from trtforge.graph.linting import lint as lint_graph
from trtforge.model import ModelSource, load_model
from trtforge.nvidia import Flavor, available
from trtforge.nvidia.selection import flavor_for

if TYPE_CHECKING:
    import onnx

_UNINSTALLED = ("tensorrt_rtx", "1.7")


def lint(
    model: ModelSource, *, library: str | None = None, version: str | None = None
) -> tuple[LintFinding, ...]:
    """Explain each quantizer that would fail to build, compute other numbers, or keep layers from fusing.

    Nothing is built, and the library need not be installed.

    Parameters
    ----------
    model : path of an ``.onnx`` file, or a network in memory, with Q/DQ pairs from whatever tool.
    library : ``tensorrt`` or ``tensorrt_rtx``; by default the installed one, or else TensorRT-RTX 1.7.
    version : its version, such as ``8.6``, or ``11`` for 11.0; needed with ``library``.

    Returns
    -------
    findings : errors first, then warnings, each in graph order; empty where all is well.

    Raises
    ------
    ModelError : the network cannot be read, or nothing in it is quantized.
    ConfigError : the library or its version is unknown, or one was given without the other.
    """
    return lint_for(load_model(model), library_for(library, version))


def lint_for(network: onnx.ModelProto, flavor: Flavor) -> tuple[LintFinding, ...]:
    """Return what does not suit a library; raises `ModelError` where there is nothing to look at."""
    findings = lint_graph(network, lint_target(flavor))
    looked_at = any(finding.node for finding in findings)
    if not looked_at and not any(node.op_type in QUANTIZERS for node in network.graph.node):
        raise ModelError(
            "the network has no Q/DQ pairs: nothing to lint",
            hint="name the quantized network, such as trtforge quantize writes it",
        )
    return findings


def library_for(library: str | None, version: str | None) -> Flavor:
    """Return the library of this name and version, the installed one by default; see `lint`."""
    if (library is None) != (version is None):
        raise ConfigError(
            f"library is {library!r} and version is {version!r}: give both or neither",
            settings=("library", "version"),
        )
    if library is None or version is None:
        installed = available()
        return installed[0] if installed else flavor_for(*_UNINSTALLED)
    name = library.replace("-", "_")
    if name not in ("tensorrt", "tensorrt_rtx"):
        raise ConfigError(
            f"library must be 'tensorrt' or 'tensorrt_rtx', got {library!r}", settings=("library",)
        )
    if not re.fullmatch(r"\d+(\.\d+)*", version):
        raise ConfigError(
            f"version must be numbers with points between, such as 8.6, got {version!r}",
            settings=("version",),
        )
    return flavor_for(name, version if "." in version else f"{version}.0")


def lint_target(flavor: Flavor) -> Target:
    """Say of a library what `trtforge.graph.lint` asks."""
    return Target(
        name=str(flavor),
        max_onnx_opset=flavor.max_onnx_opset,
        quantized_types=flavor.quantized_types,
        has_half_scales=flavor.has_half_scales,
        reads_stored_weights=flavor.reads_stored_weights,
        reads_every_quantized_convolution=flavor.reads_every_quantized_convolution,
        attention_head_sizes=flavor.attention_head_sizes,
    )
