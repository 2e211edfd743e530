"""The sizes of a decoder network with its cache outside, read off its inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtforge.errors import ModelError
from trtforge.model import TensorSpec

_SELF_KEY = re.compile(r"self_key_(\d+)")


@dataclass(frozen=True)
class DecoderSignature:
    """What a decoder network takes.

    Parameters
    ----------
    num_layers, num_heads, head_width : of its attention.
    num_symbols, num_masks : size of its vocabulary, and sets of forbidden symbols.
    memory_length : places of the encoder's output; None where inputs differ in length, 0 where there is no
        encoder.
    kv_dtype : of keys and values.
    is_ranged : whether it takes ranges of forbidden symbols.
    """

    num_layers: int
    num_heads: int
    head_width: int
    num_symbols: int
    num_masks: int
    memory_length: int | None
    kv_dtype: np.dtype[Any]
    is_ranged: bool

    @classmethod
    def of(cls, inputs: Sequence[TensorSpec]) -> DecoderSignature:
        """Read a network's sizes.

        Parameters
        ----------
        inputs : of the network (a `Runner`'s ``inputs``).

        Raises
        ------
        ModelError : it is no decoder that `export_networks` or `export_causal` made.
        """
        specs = {spec.name: spec for spec in inputs}
        num_layers = sum(1 for name in specs if _SELF_KEY.fullmatch(name))
        needed = {"tokens", "positions", "mask_index", "masks", "self_key_0"}
        if not needed <= specs.keys():
            raise ModelError(
                f"the network is no decoder with its cache outside: it lacks {sorted(needed - specs.keys())}",
                hint="export_networks and export_causal of trtforge.speech.generation write such networks",
            )
        _, heads, _, width = specs["self_key_0"].shape
        num_masks, num_symbols = specs["masks"].shape
        memory = specs["cross_key_0"].shape[2] if "cross_key_0" in specs else 0
        return cls(
            num_layers,
            int(heads),
            int(width),
            int(num_symbols),
            int(num_masks),
            None if "memory_lengths" in specs else int(memory),
            np.dtype(specs["self_key_0"].dtype),
            "ban_from" in specs,
        )

    @property
    def has_memory(self) -> bool:
        """Whether rows read the output of an encoder."""
        return self.memory_length != 0

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the keys and values of ``cross`` or ``self`` attention."""
        if kind == "cross" and not self.has_memory:
            return ()
        return tuple(
            f"{kind}_{part}_{layer}" for part in ("key", "value") for layer in range(self.num_layers)
        )

    def shape(self, num_rows: int, places: int) -> tuple[int, int, int, int]:
        """Return the shape of one layer's keys: [rows, heads, places, width]."""
        return num_rows, self.num_heads, places, self.head_width
