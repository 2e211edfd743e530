"""A PyTorch module that runs a causal checkpoint's own layers with a key-value cache as input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface

from trtforge.errors import ModelError
from trtforge.speech.generation.allowing import allowed
from trtforge.speech.generation.attention import attend_in_parts

_ATTENTION = "trtforge_rows"


@dataclass
class _Rows:
    """What the attention of every layer sees, and where it puts its new keys and values."""

    past: Sequence[tuple[torch.Tensor, torch.Tensor]]
    is_empty: torch.Tensor
    places: torch.Tensor
    kv_dtype: torch.dtype
    new: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


class CausalDecoder(torch.nn.Module):
    """A causal checkpoint that is given its key-value cache, and gives back only the rows to add to it.

    Inputs and outputs are those of `CachedDecoder` without an encoder: ``tokens``, ``positions``,
    ``mask_index``, ``masks``, and ``self_key``, ``self_value`` of each layer. Where several query heads share
    keys (grouped queries), the cache has the shared ones alone, and they are never repeated.

    The checkpoint's own ``forward`` runs, with attention that reads the cache in place of its own; its rotary
    angles come from a table, so that no engine computes the sine of a large angle in FP16.

    Parameters
    ----------
    model : the checkpoint, in FP32 on the CPU.
    kv_dtype : of keys and values in memory.
    num_positions : symbols that a row can hold.

    Raises
    ------
    ModelError : the checkpoint does not take its attention from ``transformers``' interface.
    """

    def __init__(self, model: Any, kv_dtype: torch.dtype, num_positions: int) -> None:
        super().__init__()
        self.model, self.kv_dtype = model, kv_dtype
        self.num_layers = int(model.config.num_hidden_layers)
        self.rotary = _RotaryTable.of(model.base_model, num_positions)

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return token, its log-probability, all log-probabilities, new keys, new values."""
        tokens, positions, mask_index, masks, *cache = given
        dtype = next(self.model.parameters()).dtype
        past = [(key.to(dtype), value.to(dtype)) for key, value in zip(cache[::2], cache[1::2], strict=True)]
        places = torch.arange(tokens.shape[1], device=tokens.device)
        cached = torch.arange(cache[0].shape[2], device=tokens.device)
        rows = _Rows(
            past,
            is_empty=(cached[None, :] >= positions[:, None])[:, None, None, :],
            places=places,
            kv_dtype=self.kv_dtype,
        )
        with attending(self.model, self.rotary):
            logits = self.model(
                input_ids=tokens.long(),
                position_ids=(positions[:, None] + places[None, :]).long(),
                # The masks of the rows take its place; four axes are taken as they are.
                attention_mask=torch.zeros(1, 1, 1, 1, dtype=dtype),
                use_cache=False,
                logits_to_keep=1,
                rows=rows,
            ).logits
        if sorted(rows.new) != list(range(self.num_layers)):
            raise ModelError(
                f"{len(rows.new)} of {self.num_layers} layers of the checkpoint have attention that a "
                "key-value cache of rows can be put into"
            )
        scores = allowed(logits[:, -1].float(), masks[mask_index] > 0.5)
        best, token = scores.max(dim=-1)
        keys, values = ([rows.new[layer][part] for layer in range(self.num_layers)] for part in (0, 1))
        return token.to(torch.int32), best, scores, torch.stack(keys, dim=1), torch.stack(values, dim=1)


@contextmanager
def attending(model: Any, rotary: _RotaryTable | None) -> Iterator[None]:
    """Put the rows' attention and the table of angles into a checkpoint for a while."""
    before = model.config._attn_implementation
    model.set_attn_implementation(_ATTENTION)
    if rotary is not None:
        own, model.base_model.rotary_emb = model.base_model.rotary_emb, rotary
    try:
        yield
    finally:
        model.set_attn_implementation(before)
        if rotary is not None:
            model.base_model.rotary_emb = own


class _RotaryTable(torch.nn.Module):
    """Cosines and sines of all positions, made once by the checkpoint's own module."""

    def __init__(self, cosines: torch.Tensor, sines: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("cosines", cosines)
        self.register_buffer("sines", sines)

    @classmethod
    def of(cls, base: Any, num_positions: int) -> _RotaryTable | None:
        """Make the table; None where the checkpoint has no such module."""
        own = getattr(base, "rotary_emb", None)
        if own is None:
            return None
        weight = next(base.parameters())
        with torch.no_grad():
            cosines, sines = own(weight.new_zeros(1, 1, 1), torch.arange(num_positions)[None])
        return cls(cosines[0], sines[0])

    def forward(self, hidden: torch.Tensor, position_ids: torch.Tensor) -> tuple[Any, Any]:
        """Return the angles of some positions."""
        return self.cosines[position_ids], self.sines[position_ids]


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    *,
    rows: _Rows,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the cache and to the new symbols; the heads that share keys lie beside the new symbols."""
    given = sorted(name for name in ("softcap", "s_aux") if more.get(name) is not None)
    if given:
        raise ModelError(f"the checkpoint's attention has {', '.join(given)}, which rows do not know")
    # What is read later is what the cache can hold.
    new_key, new_value = key.to(rows.kv_dtype), value.to(rows.kv_dtype)
    rows.new[module.layer_idx] = new_key, new_value
    groups = query.shape[1] // key.shape[1]
    shape = query.shape[0], key.shape[1], -1, query.shape[3]
    num_new = query.shape[2]
    of_query = rows.places[None].expand(groups, -1).reshape(-1)
    is_later = (rows.places[None, :] > of_query[:, None])[None, None]
    past_key, past_value = rows.past[module.layer_idx]
    parts = [
        (past_key, past_value, rows.is_empty),
        (new_key.to(query.dtype), new_value.to(query.dtype), is_later),
    ]
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    found, _ = attend_in_parts(query.reshape(shape), parts, scaling=scale)
    heads = found.reshape(query.shape[0], query.shape[1], num_new, value.shape[3])
    return heads.transpose(1, 2).contiguous(), None


AttentionInterface.register(_ATTENTION, _attend)
