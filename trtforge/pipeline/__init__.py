"""The stages wired together: what most people call."""

from trtforge.pipeline.compilation import Compilation, compile  # noqa: A004 - named for what users look for
from trtforge.pipeline.evaluation import evaluate
from trtforge.pipeline.quantization import calibrate, observe, quantize

__all__ = ["Compilation", "calibrate", "compile", "evaluate", "observe", "quantize"]
