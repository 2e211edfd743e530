"""Clips of speech, their manifests, and the features that networks take.

Importing this package is cheap: soundfile, soxr and librosa are imported by the first call that needs them.
"""

from trtforge.audio.augmentation import AugmentRecipe, augment
from trtforge.audio.clip import Clip
from trtforge.audio.clips import ClipSet
from trtforge.audio.decode import AudioInfo, decode_audio, probe_audio
from trtforge.audio.features import LogMel
from trtforge.audio.feeds import ClipFeeds
from trtforge.audio.kinds import Features, features_for_model, features_from_json
from trtforge.audio.selection import BalancedReservoir, balanced_order, random_order

__all__ = [
    "AudioInfo",
    "AugmentRecipe",
    "BalancedReservoir",
    "Clip",
    "ClipFeeds",
    "ClipSet",
    "Features",
    "LogMel",
    "augment",
    "balanced_order",
    "decode_audio",
    "features_for_model",
    "features_from_json",
    "probe_audio",
    "random_order",
]
