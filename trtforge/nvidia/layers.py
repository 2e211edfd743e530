"""Read the layers of a built engine, and the precisions that they really run in."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The vendor's words for a type, narrowest first: a layer counts as the narrowest that it reads.
_WORDS = {
    "int4": ("Int4",),
    "fp4": ("FP4",),
    "int8": ("Int8", "INT8"),
    "fp8": ("FP8",),
    "float16": ("Half", "FP16"),
    "bfloat16": ("BFloat16", "BF16"),
    "float32": ("Float", "FP32"),
}
_PATTERNS = tuple((name, re.compile(rf"\b(?:{'|'.join(words)})\b")) for name, words in _WORDS.items())
_LAYER_LINE = re.compile(
    r"^Name: (?P<name>.*?), LayerType: (?P<kind>.*?), "
    r"Inputs: \[(?P<inputs>.*?)\], (?:Constants: \[(?P<constants>.*?)\], )?Outputs: \["
)
_DATATYPE = re.compile(r"(?:Datatype|Format/Datatype): ([^,}]+)")
# As TensorRT 8.6 has it: "Layer(KIND): NAME, Tactic: T, x (Int8[-1,8:32,1,-1]) -> y (Half[...])".
_LAYER_CALL = re.compile(
    r"^\s*(?:Engine Layer Information:\s*)?Layer\((?P<kind>\w+)\): "
    r"(?P<name>.*?), Tactic: [^,]+, (?P<inputs>.*?) -> "
)
_TYPE_OF_SHAPE = re.compile(r"(\w+)(?=[\[(][-\d:, ]*[\])])")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")


@dataclass(frozen=True)
class EngineLayer:
    """One layer of a built engine.

    Parameters
    ----------
    name : as the library has it: the names of the network's nodes that it was fused from, as a rule.
    kind : the library's word for what it is, such as ``CaskConvolution``, ``gemm`` or ``kgen``.
    reads : narrowest type that it reads, or None where it reads none or the library does not tell.
    nodes : the network's nodes that it is said to stem from, where the library says.
    holds : narrowest type of the constants that it reads, ``nothing`` where there are none, or None where the
        library does not tell.
    """

    name: str
    kind: str
    reads: str | None
    nodes: tuple[str, ...] = ()
    holds: str | None = None


def layers_from_inspector(text: str) -> tuple[EngineLayer, ...] | None:
    """Read the engine inspector's JSON; None where the engine was not built with detailed information."""
    layers = json.loads(text, strict=False).get("Layers", [])
    described = [layer for layer in layers if isinstance(layer, dict) and "Inputs" in layer]
    if not described:
        return None
    return tuple(
        EngineLayer(
            str(layer.get("Name", "")),
            str(layer.get("LayerType", "")),
            _narrowest(_told_types(layer)),
            tuple(_NODE.findall(str(layer.get("Metadata", "")))),
            _held(_types_of(layer["Constants"])) if "Constants" in layer else None,
        )
        for layer in described
    )


def layers_from_log(text: str | None) -> tuple[EngineLayer, ...] | None:
    """Read the list of layers that the builder logs, or None where there is none."""
    lines = (text or "").splitlines()
    matches = [(line, match) for line in lines if (match := _LAYER_LINE.match(line))]
    if matches:
        return tuple(
            EngineLayer(
                match["name"],
                match["kind"],
                _narrowest(_DATATYPE.findall(match["inputs"])),
                tuple(_NODE.findall(line)),
                None if match["constants"] is None else _held(_DATATYPE.findall(match["constants"])),
            )
            for line, match in matches
        )
    calls = [match for line in lines if (match := _LAYER_CALL.match(line))]
    return (
        tuple(
            # A Myelin layer is a whole region, and what runs inside is not told.
            EngineLayer(
                match["name"],
                match["kind"],
                None if match["kind"] == "Myelin" else _narrowest(_TYPE_OF_SHAPE.findall(match["inputs"])),
            )
            for match in calls
        )
        or None
    )


def count_types(layers: Sequence[EngineLayer] | None) -> dict[str, int] | None:
    """Count layers by the narrowest type they read, layers that read no such type left out."""
    if layers is None:
        return None
    counts = Counter(layer.reads for layer in layers)
    return {name: counts[name] for name in _WORDS if counts[name]}


def _told_types(layer: Mapping[str, Any]) -> list[str]:
    """List the types of what a layer reads; where TensorRT 8.6 keeps them back, that of its weights."""
    told = _types_of(layer["Inputs"])
    weights = layer.get("Weights")
    if isinstance(weights, Mapping) and told and all(text.startswith("N/A") for text in told):
        return [str(weights.get("Type", ""))]
    return told


def _types_of(tensors: Any) -> list[str]:
    listed = [tensor for tensor in tensors or () if isinstance(tensor, Mapping)]
    return [str(tensor.get("Format/Datatype") or tensor.get("Datatype") or "") for tensor in listed]


def _held(types: Iterable[str]) -> str:
    return _narrowest(types) or "nothing"


def _narrowest(types: Iterable[str]) -> str | None:
    told = list(types)
    return next((name for name, pattern in _PATTERNS if any(pattern.search(text) for text in told)), None)
