"""What trtforge writes into a network about itself: JSON objects in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

FLOAT32_KEY = "trtforge.float32"
"""Of a typed network: node to the reason why it stays in FP32."""

RAISED_KEY = "trtforge.raised_scales"
"""Of a quantized network: tensor to how many of its scales FP16 made larger than was wanted."""


def write_note(model: onnx.ModelProto, key: str, said: Mapping[str, str]) -> None:
    """Store a note in place of an earlier one; an empty one is none."""
    others = [item for item in model.metadata_props if item.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    if said:
        model.metadata_props.add(key=key, value=json.dumps(dict(said), ensure_ascii=False))


def read_note(model: onnx.ModelProto, key: str) -> dict[str, str]:
    """Return a note; empty where there is none, or one that nobody can read."""
    text = next((item.value for item in model.metadata_props if item.key == key), "{}")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(name): str(value) for name, value in said.items()} if isinstance(said, dict) else {}
