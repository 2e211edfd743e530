"""Text from decoder networks, with an encoder or without, a symbol at a time, many rows at once."""

from trtforge.speech.generation.decoder import RowDecoder, Scored
from trtforge.speech.generation.engine_profiles import cache_sizes, decoder_profiles
from trtforge.speech.generation.export import Networks, export_aligner, export_networks
from trtforge.speech.generation.export_causal import CausalNetwork, export_causal
from trtforge.speech.generation.kept_rows import KeptRows
from trtforge.speech.generation.loop import Seat, generate
from trtforge.speech.generation.repeats import NoRepeat
from trtforge.speech.generation.requests import Generated, Pick, Request, Sample
from trtforge.speech.generation.rules import AllOf, Choice, Rules, Suppress
from trtforge.speech.generation.signature import DecoderSignature

__all__ = [
    "AllOf",
    "CausalNetwork",
    "Choice",
    "DecoderSignature",
    "Generated",
    "KeptRows",
    "Networks",
    "NoRepeat",
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
    "export_causal",
    "export_networks",
    "generate",
]
