"""Recognisers that run their network many times, in place of a larger one, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from trtforge.serving.ray.recognising import Recogniser, Row

REPEATS = 50


class RepeatedRecogniser(Recogniser):
    """As `Recogniser`, `REPEATS` times over; the last result counts."""

    def texts(self, rows: Sequence[Row]) -> list[str]:
        """Transcribe the same clips again and again."""
        for _ in range(REPEATS - 1):
            super().texts(rows)
        return super().texts(rows)


class FreeRecogniser(Recogniser):
    """As `Recogniser`, but every text is empty, and costs nothing."""

    def texts(self, rows: Sequence[Row]) -> list[str]:
        """Return an empty text for each clip."""
        return [""] * len(rows)
