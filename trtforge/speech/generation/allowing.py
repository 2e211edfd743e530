"""Rules applied to scores inside a network."""

from __future__ import annotations

from typing import Any

import torch

from trtforge.speech.generation.attention import NEVER


def allowed(scores: torch.Tensor, is_banned: torch.Tensor, ranges: Any = None) -> torch.Tensor:
    """Return log-probabilities where forbidden symbols have none.

    Parameters
    ----------
    scores : float32 [rows, symbols].
    is_banned : bool [rows, symbols].
    ranges : ``ban_from``, ``ban_to`` and ``group_from``, int32 [rows] each, as `Choice` describes them; or
        None.
    """
    symbols = torch.arange(scores.shape[1], device=scores.device, dtype=torch.int32)[None, :]
    if ranges is not None:
        ban_from, ban_to, group_from = (limit[:, None] for limit in ranges)
        is_banned = is_banned | ((symbols >= ban_from) & (symbols < ban_to))
    result = torch.log_softmax(scores.masked_fill(is_banned, NEVER), dim=-1)
    if ranges is None:
        return result
    is_in_group = symbols >= group_from
    together = torch.where(is_in_group, result, NEVER).exp().sum(dim=-1, keepdim=True)
    best_before = torch.where(is_in_group, NEVER, result).max(dim=-1, keepdim=True).values.exp()
    is_outdone = (together > best_before) & ~is_in_group
    return torch.log_softmax(result.masked_fill(is_outdone, NEVER), dim=-1)
