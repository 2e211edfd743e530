"""What the repository ships, and small parts of it for tests."""

from functools import cache
from pathlib import Path

from trtforge.audio import ClipSet

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"
CALIBRATION_SET = ROOT / "calibration_sets/podcast_en"
TEST_SET = ROOT / "calibration_sets/podcast_en_test"


@cache
def some_clips(folder: Path, count: int) -> ClipSet:
    """Return every n-th clip of a bundled set."""
    clips = ClipSet.load(folder)
    return clips.subset(clips.ids[:: max(1, len(clips) // count)][:count])
