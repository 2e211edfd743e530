"""How far back a causal checkpoint's attention sees, as its configuration tells it."""

from __future__ import annotations

import re
from typing import Any

# Within one window, or one chunk, there is nothing that it hides.
_KNOWN = ("sliding_window", "attention_chunk_size")
_SOUNDS_LIKE = re.compile("window|chunk|local_att")


def row_limits(config: Any) -> list[int]:
    """Return how many positions each of a checkpoint's ways to know them allows; none where it has no limit.

    Parameters
    ----------
    config : of a `transformers` checkpoint.
    """
    known = [getattr(config, name, None) for name in ("max_position_embeddings", *_KNOWN)]
    # A few write "no window" as -1.
    limits = [int(one) for one in known if one is not None and one > 0]
    scaling = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    original = scaling.get("original_max_position_embeddings") or getattr(
        config, "original_max_position_embeddings", None
    )
    if scaling.get("rope_type") == "longrope" and original:
        limits.append(int(original))
    return limits


def telling_length(config: Any, num_positions: int) -> int:
    """Return how long a text must be to show a window under any name that the configuration uses.

    Twice the longest, so that half of the text would be hidden, but no longer than a row; 5 or more.

    Parameters
    ----------
    config : of a `transformers` checkpoint.
    num_positions : symbols that a row can hold.
    """
    windows = [
        value for name, value in vars(config).items() if type(value) is int and _SOUNDS_LIKE.search(name)
    ]
    hidden = [min(2 * window, num_positions) for window in windows if 0 < window < num_positions]
    return max([5, *hidden])
