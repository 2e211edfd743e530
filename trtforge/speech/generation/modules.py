"""PyTorch modules that run a checkpoint's own weights with a key-value cache as input."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from trtforge.speech.generation.allowing import allowed
from trtforge.speech.generation.attention import NEVER, attend_in_parts
from trtforge.speech.generation.layouts import CheckpointLayout, StackLayout


class AudioEncoder(torch.nn.Module):
    """Whisper's encoder, and the keys and values of its output for each decoder layer.

    Takes ``features`` float [batch, bands, frames]; gives ``cross_key`` and ``cross_value`` of each layer,
    [batch, heads, time, width], and ``states`` [batch, time, width], which they were made of.
    """

    def __init__(self, layout: CheckpointLayout, kv_dtype: torch.dtype) -> None:
        super().__init__()
        self.layout, self.kv_dtype = layout, kv_dtype
        self.stack, self.decoder = layout.encoder.stack, layout.decoder.stack

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the keys of all layers, then the values, then the states."""
        hidden = torch.nn.functional.gelu(self.stack.conv1(features))
        hidden = torch.nn.functional.gelu(self.stack.conv2(hidden)).transpose(1, 2)
        hidden = hidden + self.layout.encoder.position_table
        for layer in self.stack.layers:
            hidden = _hidden(layer(hidden, None))
        hidden = self.stack.layer_norm(hidden)
        return (*_cross(hidden, self.layout, self.kv_dtype), hidden.to(self.kv_dtype))


class TextEncoder(torch.nn.Module):
    """A translator's encoder, and the keys and values of its output for each decoder layer.

    Takes ``tokens`` int32 [batch, time] and ``lengths`` int32 [batch]; gives what `AudioEncoder` gives.
    """

    def __init__(self, layout: CheckpointLayout, kv_dtype: torch.dtype) -> None:
        super().__init__()
        self.layout, self.kv_dtype = layout, kv_dtype
        self.stack, self.decoder = layout.encoder.stack, layout.decoder.stack

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the keys of all layers, then the values."""
        part = self.layout.encoder
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.stack.embed_tokens(tokens) * part.embed_scale
        hidden = _normalized(hidden + part.position_table[places + part.first_position], part)
        is_padding = places[None, :] >= lengths[:, None]
        mask = torch.zeros_like(is_padding, dtype=hidden.dtype).masked_fill(is_padding, NEVER)
        for layer in self.stack.layers:
            hidden = _hidden(layer(hidden, mask[:, None, None, :]))
        if part.has_last_norm:
            hidden = self.stack.layer_norm(hidden)
        return _cross(hidden, self.layout, self.kv_dtype)


class _DecoderLayers(torch.nn.Module):
    """What the networks below have in common: attention and sub-layers over a checkpoint's weights."""

    def __init__(self, layout: CheckpointLayout, kv_dtype: torch.dtype) -> None:
        super().__init__()
        self.layout, self.kv_dtype = layout, kv_dtype
        self.stack, self.output = layout.decoder.stack, layout.output

    def _heads(self, projected: torch.Tensor) -> torch.Tensor:
        batch, time, width = projected.shape
        heads = self.layout.num_heads
        return projected.view(batch, time, heads, width // heads).transpose(1, 2)

    def _add(self, hidden: torch.Tensor, change: Any, norm: Any) -> torch.Tensor:
        if self.layout.normalizes_before:
            result: torch.Tensor = hidden + change(norm(hidden))
        else:
            result = norm(hidden + change(hidden))
        return result

    def _attend(
        self, attention: Any, hidden: torch.Tensor, parts: Sequence[tuple[torch.Tensor, torch.Tensor, Any]]
    ) -> torch.Tensor:
        return self._attend_and_tell(attention, hidden, parts)[0]

    def _attend_and_tell(
        self, attention: Any, hidden: torch.Tensor, parts: Sequence[tuple[torch.Tensor, torch.Tensor, Any]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        query = attention.q_proj(hidden)
        if self.layout.scales_query:
            query = query * attention.scaling
        scaling = None if self.layout.scales_query else attention.scaling
        found, shares = attend_in_parts(self._heads(query), parts, scaling=scaling)
        joined = found.transpose(1, 2).reshape(hidden.shape[0], hidden.shape[1], -1)
        return attention.out_proj(joined), shares


class CachedDecoder(_DecoderLayers):
    """A decoder that is given its key-value cache, and gives back only the rows to add to it.

    Inputs, in order (``B`` rows, ``N`` new tokens, ``T`` places in the cache, ``S`` of the encoder's output,
    ``M`` masks, ``V`` symbols, ``H`` heads, ``D`` their width):

    * ``tokens`` int32 [B, N]; ``positions`` int32 [B], of the first new token: so many places of the cache
      are read; ``mask_index`` int32 [B]; ``masks`` float32 [M, V], above 0.5 where a symbol is forbidden;
    * with ``ragged``, ``memory_lengths`` int32 [B], 1 or more;
    * with ``ranged``, ``ban_from``, ``ban_to`` int32 [B]: symbols from one up to, without, the other are
      forbidden too; ``group_from`` int32 [B]: where the symbols from there on are together likelier than any
      one symbol before, those before are forbidden; 0 for no such rule;
    * for each layer ``cross_key``, ``cross_value`` [B, H, S, D], then ``self_key``, ``self_value``
      [B, H, T, D].

    Outputs: ``token`` int32 [B], the likeliest after the last new token; ``log_probability`` float32 [B] of
    it; ``scores`` float32 [B, V], all log-probabilities; ``new_keys``, ``new_values`` [B, layers, H, N, D].
    """

    def __init__(
        self, layout: CheckpointLayout, kv_dtype: torch.dtype, *, ragged: bool, ranged: bool
    ) -> None:
        super().__init__(layout, kv_dtype)
        self.ragged, self.ranged = ragged, ranged

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs, in the order of the class's description."""
        inputs = iter(given)
        tokens, positions, mask_index, masks = (next(inputs) for _ in range(4))
        memory_lengths = next(inputs) if self.ragged else None
        ranges = tuple(next(inputs) for _ in range(3)) if self.ranged else None
        rest = [tensor.to(self.output.weight.dtype) for tensor in inputs]
        part = self.layout.decoder
        places = torch.arange(tokens.shape[1], device=tokens.device)
        rows = positions[:, None] + places[None, :] + part.first_position
        if part.padding is not None:
            rows = torch.where(tokens == part.padding, part.padding, rows)
        hidden = self.stack.embed_tokens(tokens) * part.embed_scale + part.position_table[rows]
        hidden = _normalized(hidden, part)
        cached = rest[-1].shape[2]
        is_empty = torch.arange(cached, device=tokens.device)[None, :] >= positions[:, None]
        is_later = places[None, :] > places[:, None]
        past_memory = None
        if memory_lengths is not None:
            times = torch.arange(rest[0].shape[2], device=tokens.device)
            past_memory = (times[None, :] >= memory_lengths[:, None])[:, None, None, :]
        keys, values = [], []
        for index, layer in enumerate(self.stack.layers):
            cross_key, cross_value, self_key, self_value = rest[4 * index : 4 * index + 4]

            def attend_self(
                hidden: torch.Tensor,
                attention: Any = layer.self_attn,
                key: torch.Tensor = self_key,
                value: torch.Tensor = self_value,
            ) -> torch.Tensor:
                new_key = self._heads(attention.k_proj(hidden))
                new_value = self._heads(attention.v_proj(hidden))
                # What is read later is what the cache can hold.
                new_key, new_value = new_key.to(self.kv_dtype), new_value.to(self.kv_dtype)
                keys.append(new_key)
                values.append(new_value)
                past = key, value, is_empty[:, None, None, :]
                new = new_key.to(hidden.dtype), new_value.to(hidden.dtype), is_later[None, None]
                return self._attend(attention, hidden, [past, new])

            def attend_cross(
                hidden: torch.Tensor,
                attention: Any = layer.encoder_attn,
                key: torch.Tensor = cross_key,
                value: torch.Tensor = cross_value,
            ) -> torch.Tensor:
                return self._attend(attention, hidden, [(key, value, past_memory)])

            hidden = self._add(hidden, attend_self, layer.self_attn_layer_norm)
            hidden = self._add(hidden, attend_cross, layer.encoder_attn_layer_norm)
            hidden = self._add(hidden, partial(_fed, layer), layer.final_layer_norm)
        if part.has_last_norm:
            hidden = self.stack.layer_norm(hidden)
        scores = self.output(hidden[:, -1]).float()
        if self.layout.output_bias is not None:
            scores = scores + self.layout.output_bias
        scores = allowed(scores, masks[mask_index] > 0.5, ranges)
        best, token = scores.max(dim=-1)
        return token.to(torch.int32), best, scores, torch.stack(keys, dim=1), torch.stack(values, dim=1)


class Aligner(_DecoderLayers):
    """Whisper's decoder over a whole text, for the cross-attention of some heads.

    It goes no further than the last layer that has such a head. Takes ``states`` [batch, time, width] and
    ``tokens`` int32 [batch, symbols]; gives ``attention`` float32 [batch, heads, symbols, time], each row
    adding up to 1.
    """

    def __init__(
        self, layout: CheckpointLayout, kv_dtype: torch.dtype, heads: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__(layout, kv_dtype)
        self.heads_of: dict[int, list[int]] = {}
        for layer, head in sorted(heads):
            self.heads_of.setdefault(layer, []).append(head)

    def forward(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Return the attention of the heads, ordered by layer and head."""
        part = self.layout.decoder
        states = states.to(self.output.weight.dtype)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.stack.embed_tokens(tokens) * part.embed_scale
        hidden = _normalized(hidden + part.position_table[places + part.first_position], part)
        is_later = (places[None, :] > places[:, None])[None, None]
        found = []
        for index, layer in enumerate(self.stack.layers):
            if index > max(self.heads_of):
                break
            shares: list[torch.Tensor] = []

            def attend_self(hidden: torch.Tensor, attention: Any = layer.self_attn) -> torch.Tensor:
                key, value = self._heads(attention.k_proj(hidden)), self._heads(attention.v_proj(hidden))
                return self._attend(attention, hidden, [(key, value, is_later)])

            def attend_cross(
                hidden: torch.Tensor, attention: Any = layer.encoder_attn, told: Any = shares
            ) -> torch.Tensor:
                key, value = self._heads(attention.k_proj(states)), self._heads(attention.v_proj(states))
                result, share = self._attend_and_tell(attention, hidden, [(key, value, None)])
                told.append(share)
                return result

            hidden = self._add(hidden, attend_self, layer.self_attn_layer_norm)
            hidden = self._add(hidden, attend_cross, layer.encoder_attn_layer_norm)
            hidden = self._add(hidden, partial(_fed, layer), layer.final_layer_norm)
            if index in self.heads_of:
                found.append(shares[0][:, self.heads_of[index]])
        return torch.cat(found, dim=1).float()


def _cross(hidden: torch.Tensor, layout: CheckpointLayout, kv_dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    batch, time, width = hidden.shape
    shape = batch, time, layout.num_heads, width // layout.num_heads

    def heads(projected: torch.Tensor) -> torch.Tensor:
        return projected.view(shape).transpose(1, 2).contiguous().to(kv_dtype)

    keys = [heads(layer.encoder_attn.k_proj(hidden)) for layer in layout.decoder.stack.layers]
    values = [heads(layer.encoder_attn.v_proj(hidden)) for layer in layout.decoder.stack.layers]
    return (*keys, *values)


def _normalized(embedded: torch.Tensor, part: StackLayout) -> torch.Tensor:
    result: torch.Tensor = embedded if part.embedding_norm is None else part.embedding_norm(embedded)
    return result


def _fed(layer: Any, hidden: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = layer.fc2(layer.activation_fn(layer.fc1(hidden)))
    return result


def _hidden(result: Any) -> torch.Tensor:
    # Some releases give a tuple.
    found: torch.Tensor = result[0] if isinstance(result, tuple) else result
    return found
