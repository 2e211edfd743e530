"""Count the precisions that a built engine really runs in."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
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
    r"^Name: .*?, LayerType: .*?, Inputs: \[(?P<inputs>.*?)\], (?:Constants|Outputs): \["
)
_DATATYPE = re.compile(r"(?:Datatype|Format/Datatype): ([^,}]+)")
# As TensorRT 8.6 has it: "Layer(KIND): NAME, Tactic: T, x (Int8[-1,8:32,1,-1]) -> y (Half[...])".
_LAYER_CALL = re.compile(r"^\s*Layer\((?P<kind>\w+)\): .*?, Tactic: [^,]+, (?P<inputs>.*?) -> ")
_TYPE_OF_SHAPE = re.compile(r"(\w+)(?=[\[(][-\d:, ]*[\])])")


def count_from_inspector(text: str) -> dict[str, int] | None:
    """Count layers by the narrowest type they read, from the engine inspector's JSON.

    Returns
    -------
    Type name to number of layers, layers that read no such type left out; None where the engine was not
    built with detailed profiling information.
    """
    layers = json.loads(text, strict=False).get("Layers", [])
    described = [layer for layer in layers if isinstance(layer, dict) and "Inputs" in layer]
    if not described:
        return None
    return _count(_told_types(layer) for layer in described)


def _told_types(layer: Mapping[str, Any]) -> list[str]:
    """List the types of what a layer reads; where TensorRT 8.6 keeps them back, that of its weights."""
    told = [str(tensor.get("Format/Datatype") or tensor.get("Datatype") or "") for tensor in layer["Inputs"]]
    weights = layer.get("Weights")
    if isinstance(weights, Mapping) and told and all(text.startswith("N/A") for text in told):
        return [str(weights.get("Type", ""))]
    return told


def count_from_log(text: str | None) -> dict[str, int] | None:
    """Count layers as `count_from_inspector` does, from the list that the builder logs."""
    lines = [_LAYER_LINE.match(line) for line in (text or "").splitlines()]
    matches = [match for match in lines if match]
    if matches:
        return _count(_DATATYPE.findall(match["inputs"]) for match in matches)
    calls = [_LAYER_CALL.match(line) for line in (text or "").splitlines()]
    # A Myelin layer is a whole region, and what runs inside is not told.
    found = [
        _TYPE_OF_SHAPE.findall(match["inputs"]) for match in calls if match and match["kind"] != "Myelin"
    ]
    return _count(found) if found else None


def _count(input_types: Iterable[list[str]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for types in input_types:
        narrowest = next(
            (name for name, pattern in _PATTERNS if any(pattern.search(text) for text in types)), None
        )
        if narrowest:
            counts[narrowest] += 1
    return {name: counts[name] for name in _WORDS if counts[name]}
