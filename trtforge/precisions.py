"""The precisions that an engine can be asked for; light to import, as the command line lists them."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Precision: TypeAlias = Literal[
    "int8", "float8", "int8_weight_only", "int4_weight_only", "float16", "bfloat16", "float32"
]
PRECISIONS: tuple[str, ...] = get_args(Precision)
