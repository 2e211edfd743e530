"""What transformers says, window by window."""

from __future__ import annotations

from typing import Any

import torch

from tests.speech.whisper import small


def greedy(
    seed: int, features: Any, prompt: tuple[int, ...], *, timestamps: bool, new: int
) -> list[list[int]]:
    """Return the symbols of each window, without the prompt and what follows the end."""
    found = []
    for row in range(len(features)):
        with torch.no_grad():
            tokens = (
                small.model(seed)
                .generate(
                    torch.tensor(features[row : row + 1]),
                    language="es",
                    task="transcribe",
                    return_timestamps=timestamps,
                    max_new_tokens=new,
                    temperature=0.0,
                    force_unique_generate_call=True,
                )[0]
                .tolist()
            )
        tokens = tokens[len(prompt) :] if tuple(tokens[: len(prompt)]) == prompt else tokens
        found.append(tokens[: tokens.index(small.STOP)] if small.STOP in tokens else tokens)
    return found
