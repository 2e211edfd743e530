"""Translation with encoder-decoder checkpoints, and a glossary of terms to keep."""

from trtforge.speech.translation.engines import build_translator
from trtforge.speech.translation.glossary import Glossary, Match, Term
from trtforge.speech.translation.networks import export_translator
from trtforge.speech.translation.sequences import SequenceTranslator
from trtforge.speech.translation.translator import Translator
from trtforge.speech.translation.values import Translation, preservation_rate

__all__ = [
    "Glossary",
    "Match",
    "SequenceTranslator",
    "Term",
    "Translation",
    "Translator",
    "build_translator",
    "export_translator",
    "preservation_rate",
]
