"""What happens to speech on its way: a room, noise, a channel, a level. Pure functions on 16 kHz samples."""

from calibration_sets.synthesis.channels import codec, mu_law, telephone
from calibration_sets.synthesis.levels import active_frames, active_rms, mix, set_loudness
from calibration_sets.synthesis.noises import NoiseKind, Samples, noise
from calibration_sets.synthesis.rooms import impulse_response, reverberate
from trtforge.audio.codecs import CodecKind

__all__ = [
    "CodecKind",
    "NoiseKind",
    "Samples",
    "active_frames",
    "active_rms",
    "codec",
    "impulse_response",
    "mix",
    "mu_law",
    "noise",
    "reverberate",
    "set_loudness",
    "telephone",
]
