"""Texts by causal language models: checkpoints without an encoder."""

from trtforge.speech.causal.engines import build_language_model
from trtforge.speech.causal.language_model import LanguageModel
from trtforge.speech.causal.networks import export_language_model
from trtforge.speech.causal.prompts import Message
from trtforge.speech.causal.values import Completion

__all__ = [
    "Completion",
    "LanguageModel",
    "Message",
    "build_language_model",
    "export_language_model",
]
