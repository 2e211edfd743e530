"""Features and augmentation of whole batches on the GPU.

`mel_spectrogram` is `trtforge.LogMel` in PyTorch; a test holds the two together. Every distortion
comes in random strength, for a random share of the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SAMPLING_RATE = 16_000
N_FFT, WIN_LENGTH, HOP_LENGTH = 512, 400, 160
LOG_FLOOR = 2.0**-24


def mel_filters() -> Tensor:
    """Return the Slaney mel filters float32 [80, 257]."""
    from librosa.filters import mel

    return torch.from_numpy(mel(sr=SAMPLING_RATE, n_fft=N_FFT, n_mels=80, fmin=0, fmax=8000))


def mel_spectrogram(audio: Tensor, lengths: Tensor, filters: Tensor) -> tuple[Tensor, Tensor]:
    """Turn zero-padded audio into normalised log-mel frames.

    Parameters
    ----------
    audio : float32 [batch, samples].
    lengths : int64 [batch], true samples, on the CPU.
    filters : float32 [80, 257].

    Returns
    -------
    Features float32 [batch, 80, frames], zero beyond each row's true frames; frames int64 [batch].
    """
    window = torch.hann_window(WIN_LENGTH, device=audio.device)
    spectrum = torch.stft(
        audio, N_FFT, HOP_LENGTH, WIN_LENGTH, window, center=True, pad_mode="constant", return_complex=True
    )
    mel = torch.log(filters @ (spectrum.real**2 + spectrum.imag**2) + LOG_FLOOR)
    num_frames = 1 + lengths.to(audio.device, non_blocking=True) // HOP_LENGTH
    mask = (torch.arange(mel.shape[2], device=audio.device) < num_frames[:, None])[:, None].to(mel.dtype)
    count = num_frames[:, None, None]
    mean = (mel * mask).sum(2, keepdim=True) / count
    std = (((mel - mean) * mask) ** 2).sum(2, keepdim=True).div(count).sqrt()
    return (mel - mean) / (std + 1e-5) * mask, num_frames


@dataclass
class Banks:
    """Recordings to distort with, float32 on the GPU: noises and impulse responses [count, samples]."""

    noises: Tensor
    impulse_responses: Tensor


def _rand(batch: int, low: float, high: float, device: torch.device) -> Tensor:
    return torch.rand(batch, 1, device=device) * (high - low) + low


def _chance(batch: int, share: float, device: torch.device) -> Tensor:
    return torch.rand(batch, 1, device=device) < share


def change_speed(audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Play the whole batch faster or slower by up to 12 %, which moves pitch and formants too."""
    factor = 1 + 0.12 * (2 * torch.rand(()).item() - 1)
    size = int(audio.shape[1] / factor)
    audio = functional.interpolate(audio[:, None], size=size, mode="linear", align_corners=False)[:, 0]
    # Few distinct sizes, so that transforms and convolutions are planned once for each and not at every step.
    return functional.pad(audio, (0, -size % 8000)), (lengths / factor).long().clamp(max=size)


def _convolve(x: Tensor, kernel: Tensor) -> Tensor:
    size = 1 << (x.shape[1] + kernel.shape[1] - 1).bit_length()
    product = torch.fft.rfft(x, size) * torch.fft.rfft(kernel, size)
    return torch.fft.irfft(product, size)[:, : x.shape[1]]


def _filter(x: Tensor, gain: Tensor) -> Tensor:
    """Apply a zero-phase response [batch, 257] to [batch, samples]."""
    size = x.shape[1]
    spectrum = torch.fft.rfft(x)
    response = functional.interpolate(
        gain[:, None], size=spectrum.shape[1], mode="linear", align_corners=True
    )
    return torch.fft.irfft(spectrum * response[:, 0], size)


def distort(audio: Tensor, lengths: Tensor, banks: Banks) -> Tensor:
    """Room, noise, channel and loudness, each for a random share of the batch."""
    batch, samples = audio.shape
    device = audio.device
    lengths = lengths.to(device, non_blocking=True)
    inside = torch.arange(samples, device=device) < lengths[:, None]
    power = (audio**2).sum(1, keepdim=True) / lengths[:, None]

    rooms = banks.impulse_responses[torch.randint(len(banks.impulse_responses), (batch,), device=device)]
    audio = torch.where(_chance(batch, 0.5, device), _convolve(audio, rooms), audio)

    start = torch.randint(banks.noises.shape[1] - samples, (batch, 1), device=device)
    which = torch.randint(len(banks.noises), (batch, 1), device=device)
    noise = banks.noises[which, start + torch.arange(samples, device=device)]
    share = torch.rand(batch, batch, device=device) + 0.7
    others = (torch.rand(batch, batch, device=device) < 6 / batch).fill_diagonal_(False)
    voices = (share * others) @ audio
    noise = torch.where(_chance(batch, 0.3, device), voices, noise)
    noise_power = (noise**2).mean(1, keepdim=True).clamp(min=1e-10)
    snr = _rand(batch, 0, 25, device)
    gain = torch.sqrt(1.4 * power / noise_power * 10 ** (-snr / 10))
    audio = torch.where(_chance(batch, 0.7, device), audio + gain * noise, audio)

    hertz = torch.linspace(0, SAMPLING_RATE / 2, 257, device=device)[None]
    octave = torch.log2(hertz.clamp(min=50) / 1000)
    tilt = 10 ** (_rand(batch, -6, 6, device) * octave / 20)
    ripple = 10 ** (
        _rand(batch, 0, 4, device)
        * torch.sin(_rand(batch, 0.3, 2, device) * octave * math.pi + _rand(batch, 0, 6, device))
        / 20
    )
    cutoff = torch.where(
        _chance(batch, 0.25, device), _rand(batch, 3300, 7500, device), _rand(batch, 8000, 9000, device)
    )
    lowpass = torch.sigmoid((cutoff - hertz) / 60)
    phone = torch.sigmoid((hertz - 300) / 25) * torch.sigmoid((3400 - hertz) / 40)
    on_phone = _chance(batch, 0.3, device)
    response = torch.where(on_phone, phone, tilt * ripple * lowpass)
    audio = torch.where(on_phone | _chance(batch, 0.6, device), _filter(audio, response), audio)

    peak = audio.abs().amax(1, keepdim=True).clamp(min=1e-6)
    limit = torch.where(_chance(batch, 0.15, device), _rand(batch, 0.2, 1, device), torch.ones_like(peak))
    audio = torch.maximum(torch.minimum(audio / peak, limit), -limit)
    companded = torch.sign(audio) * torch.log1p(255 * audio.abs()) / math.log(256)
    companded = torch.round(companded * 127) / 127
    expanded = torch.sign(companded) * torch.expm1(companded.abs() * math.log(256)) / 255
    audio = torch.where(on_phone & _chance(batch, 0.8, device), expanded, audio)
    return audio * 10 ** (_rand(batch, -30, 0, device) / 20) * inside


def mask_spectrogram(mel: Tensor, num_frames: Tensor) -> Tensor:
    """Blank two bands of frequency and three stretches of time (SpecAugment, Park et al. 2019)."""
    batch, bands, frames = mel.shape
    device = mel.device
    keep = torch.ones_like(mel, dtype=torch.bool)
    band, frame = torch.arange(bands, device=device), torch.arange(frames, device=device)
    for _ in range(2):
        width, start = _rand(batch, 0, 10, device), _rand(batch, 0, bands - 10, device)
        keep &= ~((band >= start) & (band < start + width))[:, :, None]
    for _ in range(3):
        width = _rand(batch, 0, 14, device)
        start = torch.rand(batch, 1, device=device) * num_frames[:, None]
        keep &= ~((frame >= start) & (frame < start + width))[:, None]
    return mel * keep
