"""Small recordings for the tests of the podcast pipeline."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trtforge.audio import decode_audio

DEMO = Path(__file__).parents[2] / "examples/podcast/demo"
SAMPLING_RATE = 16_000


@cache
def demo_audio() -> NDArray[np.float32]:
    return decode_audio(DEMO / "episode.mp3", sampling_rate=SAMPLING_RATE)


def demo_part(start: float, end: float) -> NDArray[np.float32]:
    return demo_audio()[round(start * SAMPLING_RATE) : round(end * SAMPLING_RATE)]
