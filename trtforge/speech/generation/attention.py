"""Attention over a cache and new symbols, without joining them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

NEVER = float("-inf")


def attend_in_parts(
    query: torch.Tensor,
    parts: Sequence[tuple[torch.Tensor, torch.Tensor, Any]],
    *,
    scaling: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend to keys and values that lie in several tensors.

    Parameters
    ----------
    query : [batch, heads, new, width].
    parts : keys and values [batch, heads, places, width] each, and where they may not be seen: bool, to be
        broadcast to [batch, heads, new, places], or None.
    scaling : what the products with the keys are multiplied by; None where the query is scaled already.

    Returns
    -------
    What was found, [batch, heads, new, width], and the shares, [batch, heads, new, places of all parts].
    """
    products = []
    for key, _, is_unseen in parts:
        # Keys are the left factor as they lie in memory, so that no runtime transposes a whole cache.
        product = torch.matmul(key, query.transpose(2, 3)).transpose(2, 3)
        if scaling is not None:
            product = product * scaling
        products.append(product if is_unseen is None else product.masked_fill(is_unseen, NEVER))
    # Only the products are joined: joining keys and values would copy the cache.
    shares = torch.softmax(torch.cat(products, dim=-1), dim=-1)
    found: Any = 0
    begin: Any = 0
    for product, (_, value, _) in zip(products, parts, strict=True):
        end = begin + product.shape[3]
        found = found + torch.matmul(shares[..., begin:end], value)
        begin = end
    return found, shares
