"""What a language model gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Completion:
    """A prompt's continuation.

    Parameters
    ----------
    text : what was written, without what ends it.
    tokens : its symbols.
    log_probability : mean over them and the symbol that ended it, at most 0.
    is_complete : whether the network ended it, rather than a limit.
    num_prompt_tokens : symbols of the prompt.
    num_held_tokens : of these, those whose keys and values were there from the prompt before.
    """

    text: str
    tokens: tuple[int, ...]
    log_probability: float
    is_complete: bool
    num_prompt_tokens: int
    num_held_tokens: int = 0
