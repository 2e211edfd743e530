"""A recogniser that dies, loses its GPU or raises on clips whose names say so."""

from __future__ import annotations

import os
from collections.abc import Sequence

from benchmarks.many_clips.clips import kind_of
from trtforge.errors import DeviceLostError
from trtforge.serving.ray.recognising import Recogniser, Row


class FaultyRecogniser(Recogniser):
    """As `Recogniser`, but for the clips that `benchmarks.many_clips.clips` names."""

    def texts(self, rows: Sequence[Row]) -> list[str]:
        """Fail as the first faulty clip's name says, or transcribe."""
        for row in rows:
            kind = kind_of(row.id)
            if kind == "crash":
                os._exit(1)
            if kind == "lost":
                raise DeviceLostError("an illegal memory access was encountered")
            if kind == "fail":
                raise RuntimeError(f"injected into {row.id}")
        return super().texts(rows)
