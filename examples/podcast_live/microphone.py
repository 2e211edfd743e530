"""Audio from a microphone; sounddevice is imported only here, and only when a microphone is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from examples.podcast_live.sources import BLOCK_SECONDS, SAMPLING_RATE, Samples
from examples.podcast_live.waiting import WaitingBlocks
from trtforge._optional import require
from trtforge.errors import ConfigError, MissingExtraError

_MAX_WAITING_SECONDS = 60.0
_POLL_SECONDS = 0.2


class Microphone:
    """A microphone through PortAudio, mono; what it cannot give at 16 kHz is resampled.

    Blocks wait in a queue of 60 seconds while the networks work; what finds no place there is silence, and
    counted in ``num_lost``. Of what PortAudio itself could not hold it tells no length: a block is taken.
    `stop` ends the recording, as the interrupt key does.

    Parameters
    ----------
    device : its number or a part of its name, as sounddevice takes them; the system's own where None.

    Raises
    ------
    MissingExtraError : sounddevice, or the PortAudio library that it needs, is not installed.
    ConfigError : there is no such microphone.
    """

    is_live = True

    def __init__(self, device: int | str | None = None) -> None:
        self._sounddevice = _sounddevice()
        try:
            found = self._sounddevice.query_devices(device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            raise ConfigError(
                f"no microphone {'was found' if device is None else repr(device)}: {error}",
                hint="python -m sounddevice lists the devices; pass the number or name of one with inputs",
                settings=("microphone",),
            ) from error
        self.name, self._device = str(found["name"]), device
        self._rate = self._usable_rate(float(found["default_samplerate"]))
        self._waiting = WaitingBlocks(round(_MAX_WAITING_SECONDS / BLOCK_SECONDS))
        self._stopped = False

    @property
    def num_lost(self) -> int:
        """Samples at 16 kHz that silence stands for."""
        return round(self._waiting.num_lost * SAMPLING_RATE / self._rate)

    def blocks(self) -> Iterator[Samples]:
        """Yield blocks until `stop` is called.

        Raises
        ------
        ConfigError : the device cannot be opened.
        """
        resample: Any = None
        if self._rate != SAMPLING_RATE:
            import soxr

            resample = soxr.ResampleStream(self._rate, SAMPLING_RATE, 1, dtype="float32").resample_chunk
        try:
            stream = self._sounddevice.InputStream(
                samplerate=self._rate,
                blocksize=round(BLOCK_SECONDS * self._rate),
                device=self._device,
                channels=1,
                dtype="float32",
                callback=self._put,
            )
        except self._sounddevice.PortAudioError as error:
            raise ConfigError(f"the microphone {self.name!r} cannot be opened: {error}") from error
        with stream:
            while not self._stopped:
                for block in self._waiting.get(_POLL_SECONDS):
                    yield block if resample is None else resample(block)

    def stop(self) -> None:
        """End the recording; what waits is dropped."""
        self._stopped = True

    def _put(self, samples: Any, num_frames: int, times: Any, status: Any) -> None:
        # PortAudio's own thread: it must not wait.
        lost = num_frames if status.input_overflow else 0
        self._waiting.put(np.array(samples[:, 0], np.float32), num_lost=lost)

    def _usable_rate(self, own: float) -> float:
        try:
            self._sounddevice.check_input_settings(
                device=self._device, channels=1, dtype="float32", samplerate=SAMPLING_RATE
            )
        except (ValueError, self._sounddevice.PortAudioError):
            return own
        return SAMPLING_RATE


def _sounddevice() -> Any:
    try:
        return require("sounddevice", "record from a microphone")
    except OSError as error:
        raise MissingExtraError(
            f"sounddevice is installed, but not the PortAudio library that it needs: {error}",
            hint="apt-get install libportaudio2, or what brings PortAudio to your system",
        ) from error
