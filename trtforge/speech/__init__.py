"""What turns a speech network's output into text."""

from trtforge.speech.ctc import CtcDecoder
from trtforge.speech.ctc_stream import CtcStream
from trtforge.speech.long_audio import framewise, transcribe_long
from trtforge.speech.stitching import stitch
from trtforge.speech.transcript import Segment, Transcript, Word
from trtforge.speech.whisper import Whisper
from trtforge.speech.windows import Window, WindowPlan

__all__ = [
    "CtcDecoder",
    "CtcStream",
    "Segment",
    "Transcript",
    "Whisper",
    "Window",
    "WindowPlan",
    "Word",
    "framewise",
    "stitch",
    "transcribe_long",
]
