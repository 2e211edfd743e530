"""What turns a speech network's output into text."""

from trtforge.speech.ctc import CtcDecoder
from trtforge.speech.ctc_stream import CtcStream, Word
from trtforge.speech.long_audio import Transcript, framewise, transcribe_long
from trtforge.speech.stitching import stitch
from trtforge.speech.windows import Window, WindowPlan

__all__ = [
    "CtcDecoder",
    "CtcStream",
    "Transcript",
    "Window",
    "WindowPlan",
    "Word",
    "framewise",
    "stitch",
    "transcribe_long",
]
