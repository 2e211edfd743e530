"""Whisper: recordings of any length to words with their times."""

from trtforge.speech.whisper.alignment import token_starts
from trtforge.speech.whisper.checkpoint import WhisperDescription, export_whisper
from trtforge.speech.whisper.cutting import AudioWindow, CutSettings, cut
from trtforge.speech.whisper.engines import build_whisper
from trtforge.speech.whisper.features import whisper_features
from trtforge.speech.whisper.quality import Fallback
from trtforge.speech.whisper.recogniser import Whisper
from trtforge.speech.whisper.rules import WhisperRules
from trtforge.speech.whisper.settings import TranscribeSettings
from trtforge.speech.whisper.vocabulary import WhisperVocabulary

__all__ = [
    "AudioWindow",
    "CutSettings",
    "Fallback",
    "TranscribeSettings",
    "Whisper",
    "WhisperDescription",
    "WhisperRules",
    "WhisperVocabulary",
    "build_whisper",
    "cut",
    "export_whisper",
    "token_starts",
    "whisper_features",
]
