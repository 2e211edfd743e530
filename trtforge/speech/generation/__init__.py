"""Text from encoder-decoder networks, a symbol at a time, many rows at once."""

from trtforge.speech.generation.decoder import RowDecoder, Scored
from trtforge.speech.generation.engine_profiles import cache_sizes, decoder_profiles
from trtforge.speech.generation.export import Networks, export_aligner, export_networks
from trtforge.speech.generation.loop import Seat, generate
from trtforge.speech.generation.requests import Generated, Pick, Request, Sample
from trtforge.speech.generation.rules import AllOf, Choice, Rules, Suppress
from trtforge.speech.generation.signature import DecoderSignature

__all__ = [
    "AllOf",
    "Choice",
    "DecoderSignature",
    "Generated",
    "Networks",
    "Pick",
    "Request",
    "RowDecoder",
    "Rules",
    "Sample",
    "Scored",
    "Seat",
    "Suppress",
    "cache_sizes",
    "decoder_profiles",
    "export_aligner",
    "export_networks",
    "generate",
]
