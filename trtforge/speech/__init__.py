"""What turns a speech network's output into text."""

from trtforge.speech.ctc import CtcDecoder

__all__ = ["CtcDecoder"]
