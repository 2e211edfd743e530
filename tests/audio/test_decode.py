from __future__ import annotations

import io
import os
import re
import shutil
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from trtforge.audio import AudioInfo, decode_audio, probe_audio
from trtforge.errors import ClipError, ConfigError, MissingExtraError

Tone = Callable[..., NDArray[np.float64]]


def encode(audio: NDArray[Any], sampling_rate: int, container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, sampling_rate, format=container, subtype=subtype)
    return file.getvalue()


def loudest(audio: NDArray[np.float32], sampling_rate: int) -> tuple[float, float]:
    """Frequency and amplitude of the strongest component, from a Hann-weighted second in the middle."""
    middle = len(audio) // 2 - sampling_rate // 2
    window = np.hanning(sampling_rate + 1)[:-1]
    spectrum = np.abs(np.fft.rfft(audio[middle : middle + sampling_rate] * window)) * 2 / window.sum()
    peak = int(spectrum.argmax())
    return float(peak), float(spectrum[peak])


@pytest.mark.parametrize(
    ("subtype", "dtype", "full_scale"),
    [("PCM_16", "<i2", 2**15), ("PCM_24", None, 2**23), ("PCM_32", "<i4", 2**31)],
)
def test_integer_samples_are_divided_by_full_scale(subtype: str, dtype: str | None, full_scale: int) -> None:
    values = np.array([0, 1, -1, full_scale - 1, -full_scale, 12345, -9876], np.int64)
    data = encode(values / full_scale, 16_000, "WAV", subtype)
    if dtype:
        start = data.index(b"data") + 8
        assert np.frombuffer(data[start:], dtype).tolist() == values.tolist()
    audio = decode_audio(data, sampling_rate=16_000)
    assert audio.dtype == np.float32
    np.testing.assert_array_equal(audio, (values / full_scale).astype(np.float32))


def test_eight_bit_samples_are_unsigned_around_128() -> None:
    samples = bytes([128, 0, 255, 129])
    form = struct.pack("<HHIIHH", 1, 1, 16_000, 16_000, 1, 8)
    data = b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt \x10\0\0\0" + form + b"data\x04\0\0\0" + samples
    audio = decode_audio(data, sampling_rate=16_000)
    np.testing.assert_array_equal(audio, np.float32([0, -1, 127 / 128, 1 / 128]))


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_float_samples_are_kept_also_beyond_one(subtype: str) -> None:
    values = np.array([0.1, -2.5, 1e-7, 1.0])
    audio = decode_audio(encode(values, 44_100, "WAV", subtype), sampling_rate=44_100)
    np.testing.assert_array_equal(audio, values.astype(np.float32))


def test_channels_are_averaged() -> None:
    channels = np.tile(np.arange(8) / 16, (100, 1))
    audio = decode_audio(encode(channels, 16_000, "WAV", "PCM_16"), sampling_rate=16_000)
    np.testing.assert_array_equal(audio, np.full(100, 3.5 / 16, np.float32))


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("AIFF", "FLOAT"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_stereo_tone_comes_out_at_its_frequency_and_amplitude(
    tone: Tone, tmp_path: Path, container: str, subtype: str
) -> None:
    left = tone(1000.0, sampling_rate=48_000, duration=2.0, amplitude=0.6)
    path = tmp_path / "tone"
    path.write_bytes(encode(np.stack([left, left / 3], axis=1), 48_000, container, subtype))
    assert probe_audio(path) == AudioInfo(48_000, 2, 96_000)
    audio = decode_audio(path, sampling_rate=16_000, clip_id="tone")
    assert len(audio) == 32_000
    frequency, amplitude = loudest(audio, 16_000)
    assert frequency == 1000.0
    assert amplitude == pytest.approx(0.4, rel=0.02 if container in ("OGG", "MP3") else 0.002)


def test_resampling_removes_what_the_new_rate_cannot_hold(tone: Tone) -> None:
    audible = tone(1000.0, sampling_rate=48_000, duration=2.0)
    above = tone(11_000.0, sampling_rate=48_000, duration=2.0)
    audio = decode_audio(encode(audible + above, 48_000, "WAV", "DOUBLE"), sampling_rate=16_000)
    alias = np.abs(np.fft.rfft(audio[8000:24_000] * np.hanning(16_000)))[5000] * 4 / 16_000
    assert loudest(audio, 16_000) == (1000.0, pytest.approx(0.5, rel=1e-4))
    assert alias < 1e-5


@pytest.mark.parametrize("sampling_rate", [8_000, 22_050, 192_000])
def test_any_rate_is_read(tone: Tone, sampling_rate: int) -> None:
    data = encode(tone(500.0, sampling_rate=sampling_rate, duration=2.0), sampling_rate, "WAV", "FLOAT")
    audio = decode_audio(data, sampling_rate=16_000)
    assert len(audio) == 32_000
    assert loudest(audio, 16_000) == (500.0, pytest.approx(0.5, rel=1e-3))


def test_long_clips_are_read_in_blocks_without_seams(tone: Tone, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(tone(sampling_rate=48_000, duration=2.0), 48_000, "OGG", "VORBIS")
    whole = decode_audio(data, sampling_rate=16_000)
    monkeypatch.setattr("trtforge.audio.decode._BLOCK_VALUES", 7001)
    np.testing.assert_array_equal(decode_audio(data, sampling_rate=16_000), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_bytes": 0xFFFFFFFE},
            "the header promises 2147483647 frames in 4294967294 bytes, the file holds 276",
        ),
        ({"num_bytes": 278}, "the header promises 139 frames in 278 bytes, the file holds 276 bytes"),
        ({"sampling_rate": 0}, "the header says 0 Hz, 8000 to 192000 Hz are read"),
        ({"sampling_rate": 4_000_000}, "the header says 4000000 Hz, 8000 to 192000 Hz are read"),
        ({"num_channels": 65_535}, "the header says 65535 channels, 1 to 8 are read"),
        ({"num_channels": 0}, "the header says 0 channels, 1 to 8 are read"),
        ({"samples": b""}, "the file holds zero samples"),
    ],
)
def test_lying_wav_headers(make_wav: Callable[..., bytes], settings: dict[str, Any], message: str) -> None:
    data = make_wav(**settings)
    with pytest.raises(ClipError, match=re.escape(f"clip 'bad': {message}")) as caught:
        decode_audio(data, sampling_rate=16_000, clip_id="bad")
    assert caught.value.clip_id == "bad"
    with pytest.raises(ClipError, match=re.escape(message)):
        probe_audio(data)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "AIFF"])
def test_memory_follows_the_file_and_not_its_header(tone: Tone, container: str) -> None:
    data = bytearray(encode(tone(duration=0.1), 16_000, container, "PCM_16"))
    lie = 2_000_000_000
    if container == "WAV":
        data[40:44] = lie.to_bytes(4, "little")
    elif container == "FLAC":
        packed = int.from_bytes(data[18:26], "big")
        data[18:26] = (packed >> 36 << 36 | lie).to_bytes(8, "big")
    else:
        common = data.index(b"COMM") + 8
        data[common + 2 : common + 6] = lie.to_bytes(4, "big")
    lying = bytes(data)
    with pytest.raises(ClipError, match="the header promises"):  # imports what is imported on first use
        decode_audio(lying, sampling_rate=16_000)
    tracemalloc.start()
    with pytest.raises(ClipError):
        decode_audio(lying, sampling_rate=16_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def piped(
    samples: bytes, length: int, riff_length: int, *, sample_bytes: int = 2, num_channels: int = 1
) -> bytes:
    """Build a WAV as writers to a pipe leave it; ffmpeg's LIST chunk stands before the samples."""
    frame = sample_bytes * num_channels
    form = struct.pack("<HHIIHH", 1, num_channels, 16_000, 16_000 * frame, frame, 8 * sample_bytes)
    note = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf60.16.100\0"
    head = b"WAVEfmt " + struct.pack("<I", 16) + form + note + b"data" + struct.pack("<I", length)
    return b"RIFF" + struct.pack("<I", riff_length) + head + samples


PIPED_START = 78


@pytest.mark.parametrize(
    ("length", "riff_length"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0),
        (0x7FFFF000, 0x7FFFF000 + PIPED_START - 8),
        (0, 0xFFFFFFFF),
        (0, 0),
        (0, 8),
        (0, PIPED_START - 8),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_wav_from_a_pipe_has_all_that_the_file_holds(
    tmp_path: Path, length: int, riff_length: int, on_disk: bool
) -> None:
    values = np.arange(-20_000, 20_000, dtype="<i2")
    data = piped(values.tobytes(), length, riff_length)
    assert data.index(b"data") + 8 == PIPED_START
    path = tmp_path / "piped.wav"
    path.write_bytes(data)
    source = path if on_disk else data
    assert probe_audio(source) == AudioInfo(16_000, 1, 40_000)
    np.testing.assert_array_equal(decode_audio(source, sampling_rate=16_000), np.float32(values) / 2**15)


@pytest.mark.parametrize("num_spare", [0, 1, 5])
def test_a_wav_from_a_pipe_ends_with_its_last_whole_frame(num_spare: int) -> None:
    samples = bytes(range(1, 1 + 6 * 20 + num_spare))
    data = piped(samples, 0xFFFFFFFF, 0xFFFFFFFF, sample_bytes=3, num_channels=2)
    audio = decode_audio(data, sampling_rate=16_000)
    values = [int.from_bytes(samples[at : at + 3], "little", signed=True) for at in range(0, 120, 3)]
    np.testing.assert_array_equal(audio, np.float32(np.reshape(values, (20, 2)).mean(axis=1) / 2**23))


@pytest.mark.parametrize(
    ("length", "riff_length", "message"),
    [
        (
            0xFFFFFFFE,
            0xFFFFFFFF,
            "the header promises 2147483647 frames in 4294967294 bytes, the file holds 200",
        ),
        (
            0x7FFFF002,
            0x7FFFF048,
            "the header promises 1073739777 frames in 2147479554 bytes, the file holds 200",
        ),
        (
            0x7FFFF000,
            0x7FFFF050,
            "the header promises 1073739776 frames in 2147479552 bytes, the file holds 200",
        ),
        (202, 0xFFFFFFFF, "the header promises 101 frames in 202 bytes, the file holds 200"),
        (0, 270, "the file holds zero samples"),
    ],
)
def test_other_lengths_that_lie_are_refused(length: int, riff_length: int, message: str) -> None:
    with pytest.raises(ClipError, match=re.escape(message)):
        decode_audio(piped(bytes(200), length, riff_length), sampling_rate=16_000)


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_a_wav_from_a_pipe_that_brought_nothing(length: int) -> None:
    with pytest.raises(ClipError, match="the file holds zero samples"):
        decode_audio(piped(b"", length, 0xFFFFFFFF), sampling_rate=16_000)


def test_a_wav_from_a_pipe_beyond_what_wav_can_hold(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(piped(b"", 0xFFFFFFFF, 0xFFFFFFFF))
    os.truncate(path, PIPED_START + 2**32)
    with pytest.raises(ClipError, match="gives no length, and 4294967296 bytes are beyond WAV"):
        probe_audio(path)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_what_espeak_writes_to_a_pipe_is_read_whole() -> None:
    data = subprocess.run(["espeak-ng", "--stdout", "hello"], capture_output=True, check=True).stdout
    assert data[40:44] == struct.pack("<I", 0x7FFFF000)
    audio = decode_audio(data, sampling_rate=22_050)
    np.testing.assert_array_equal(audio, np.frombuffer(data[44:], "<i2").astype(np.float32) / 2**15)


@pytest.mark.parametrize("num_frames", [0, 100_000, 2_000_000_000, 2**36 - 1])
def test_lying_flac_headers(tone: Tone, num_frames: int) -> None:
    data = bytearray(encode(tone(duration=0.2), 16_000, "FLAC", "PCM_16"))
    packed = int.from_bytes(data[18:26], "big")
    data[18:26] = (packed >> 36 << 36 | num_frames).to_bytes(8, "big")
    with pytest.raises(ClipError, match=r"clip 'bad': the (header promises|decoder refuses)"):
        decode_audio(bytes(data), sampling_rate=16_000, clip_id="bad")


def test_lying_aiff_headers(tone: Tone) -> None:
    data = bytearray(encode(tone(duration=0.1), 16_000, "AIFF", "PCM_16"))
    common = data.index(b"COMM") + 8
    data[common + 2 : common + 6] = (2**31).to_bytes(4, "big")
    with pytest.raises(ClipError, match="the header promises 2147483648 frames in 4294967304 bytes"):
        decode_audio(bytes(data), sampling_rate=16_000)
    data[common : common + 2] = b"\xff\xff"
    with pytest.raises(ClipError, match="the header says 65535 channels"):
        decode_audio(bytes(data), sampling_rate=16_000)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.002, 0.3, 0.98])
def test_truncated_files(tone: Tone, container: str, subtype: str, share: float) -> None:
    data = encode(tone(duration=3.0), 16_000, container, subtype)
    with pytest.raises(ClipError, match=r"empty|truncated|decoder refuses|not WAV, FLAC"):
        decode_audio(data[: int(len(data) * share)], sampling_rate=16_000)


def test_damaged_flac_names_the_decoders_reason(tone: Tone) -> None:
    data = bytearray(encode(tone(duration=3.0), 16_000, "FLAC", "PCM_16"))
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    with pytest.raises(
        ClipError, match="clip 'x': the decoder refuses the file: Error : flac decoder lost sync"
    ):
        decode_audio(bytes(data), sampling_rate=16_000, clip_id="x")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_samples_that_are_not_finite(value: float) -> None:
    audio = np.zeros(1000)
    audio[700] = value
    with pytest.raises(ClipError, match=r"1 samples from 0\.04 s on are not finite or beyond 1e\+30"):
        decode_audio(encode(audio, 16_000, "WAV", "FLOAT"), sampling_rate=8_000)


def test_a_clip_too_short_to_resample() -> None:
    data = encode(np.ones(1), 192_000, "WAV", "PCM_16")
    with pytest.raises(ClipError, match="no sample is left at 8000 Hz"):
        decode_audio(data, sampling_rate=8_000)


def test_clips_longer_than_the_cap(tone: Tone) -> None:
    data = encode(tone(duration=1.5), 16_000, "WAV", "PCM_16")
    with pytest.raises(ClipError, match=r"promises 24000 frames at 16000 Hz, at most 1\.00 s are read"):
        decode_audio(data, sampling_rate=16_000, max_duration=1.0)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "FLAC", "OGG"])
def test_random_damage_raises_nothing_but_clip_errors(tone: Tone, container: str) -> None:
    subtype = "VORBIS" if container == "OGG" else "PCM_16"
    data = encode(tone(duration=0.3), 16_000, container, subtype)
    random = np.random.default_rng(11)
    refused = 0
    for _ in range(100):
        damaged = bytearray(data)
        for position in random.integers(0, 64, size=3):
            damaged[position] = random.integers(256)
        try:
            audio = decode_audio(bytes(damaged), sampling_rate=16_000)
        except ClipError:
            refused += 1
        else:
            assert np.isfinite(audio).all()
    assert refused > 50


def test_files_that_are_not_audio(tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("not a recording")
    with pytest.raises(ClipError, match=r"clip 'notes.wav': not WAV, FLAC, Ogg, MP3 or AIFF: .* b'not '"):
        decode_audio(text, sampling_rate=16_000)
    with pytest.raises(ClipError, match=r"clip 'gone\.wav': cannot read the file: .*No such file"):
        decode_audio(tmp_path / "gone.wav", sampling_rate=16_000)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(ClipError, match=r"pipe\.wav is not a regular file"):
        decode_audio(tmp_path / "pipe.wav", sampling_rate=16_000)


def test_a_misleading_file_name_does_not_matter(tone: Tone, tmp_path: Path) -> None:
    path = tmp_path / "clip.raw"
    path.write_bytes(encode(tone(duration=0.5), 16_000, "FLAC", "PCM_16"))
    assert decode_audio(path, sampling_rate=16_000).shape == (8000,)


def test_a_sampling_rate_that_is_not_one() -> None:
    with pytest.raises(ConfigError, match="sampling_rate must lie in 8000 to 192000 Hz, got 16"):
        decode_audio(b"", sampling_rate=16)


def test_missing_soundfile_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(
        MissingExtraError, match=r"soundfile is needed to read audio files(?s:.*)trtforge\[speech\]"
    ):
        probe_audio(b"")


def without_xing(mp3: bytes) -> bytes:
    """Leave out the frame that tells an MP3 file's length."""
    frames = mp3[mp3.index(b"\xff", 10) :] if mp3.startswith(b"ID3") else mp3
    assert b"Info" in frames[:64] or b"Xing" in frames[:64]
    return frames[frames.index(frames[:2], 4) :]


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("parts", [("noise", "silence"), ("silence", "noise")])
def test_an_mp3_that_does_not_tell_its_length_is_read_to_its_end(
    parts: tuple[str, str], channels: int, rate: int
) -> None:
    seconds = 4 * rate
    noise = np.random.default_rng(0).normal(0, 0.2, (seconds, channels)).clip(-1, 1)
    audio = np.concatenate([noise if part == "noise" else 0 * noise for part in parts])
    told = io.BytesIO()
    soundfile.write(told, audio, rate, format="MP3", compression_level=0.5, bitrate_mode="VARIABLE")
    bare = without_xing(told.getvalue())
    tag, old_tag = b"ID3\x03\x00\x00\x00\x00\x00\x0a" + bytes(10), b"TAG".ljust(128, b"\0")
    for data in (bare, tag + bare, bare + old_tag, bare + bytes(99)):
        found = decode_audio(data, sampling_rate=rate)
        # Encoder and decoder pad by up to three frames.
        assert 0 <= len(found) - 2 * seconds <= 3 * 1152
        half = len(found) // 2
        loud, quiet = (found[:half], found[half:]) if parts[0] == "noise" else (found[half:], found[:half])
        assert np.sqrt(np.mean(loud**2)) > 10 * np.sqrt(np.mean(quiet**2))
    with pytest.raises(ClipError, match="the file is truncated: its last frame is cut off"):
        decode_audio(bare[:-5], sampling_rate=rate)
