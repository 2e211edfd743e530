"""The steps of an augmentation, done by audiomentations, each returning what it drew."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from trtforge._files import sha256
from trtforge._optional import require
from trtforge.audio.clip import Clip
from trtforge.audio.codecs import CodecKind, code
from trtforge.audio.conditions import Condition
from trtforge.audio.selection import random_order
from trtforge.errors import ClipError, ConfigError

if TYPE_CHECKING:
    from trtforge.audio.augmentation import AugmentRecipe
    from trtforge.audio.clips import ClipSet

# The least bit rate of each that libsndfile offers for 16 kHz mono: about 13, 27 and 30 kbit/s.
_COMPRESSION = {"opus": 0.98, "mp3": 0.98, "vorbis": 1.0}
_ROLLOFF_DB = 24
_BABBLE_PEAK = 0.5


class Effects:
    """Applies conditions to the clips of a set.

    Parameters
    ----------
    clips : the set; babble is made of its other clips.
    recipe : where the folders lie, and at which rate to work.
    seed : of what is drawn for each clip.
    babble : file that babble goes through.

    Raises
    ------
    ConfigError : a folder holds no audio.
    """

    def __init__(self, clips: ClipSet, recipe: AugmentRecipe, seed: int, babble: Path) -> None:
        self._library = require("audiomentations", "augment clips")
        self._clips = clips
        self._recipe = recipe
        self._seed = seed
        self._babble = babble
        self._files = {
            name: _audio_files(name, Path(recipe.folders[name]))
            for name in sorted({*recipe.noise, *recipe.reverb} - {"none", "babble", "dry"})
        }

    def apply(self, clip: Clip, condition: Condition) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
        """Return a clip under a condition, float32 [num_samples], and what was done to it.

        Raises
        ------
        ClipError : a clip cannot be decoded, or the noise cannot be added because one of the two is silent.
        """
        rate = self._recipe.sampling_rate
        samples = self._clips.audio(clip, sampling_rate=rate)
        steps: list[dict[str, Any]] = []
        for step in (self._speed, self._reverb, self._noise, self._gain, self._band, self._codec):
            samples, record = step(samples, clip, condition)
            steps += record
        if not np.isfinite(samples).all():
            raise ClipError(f"clip {clip.id!r}: samples are not finite after {steps}", clip_id=clip.id)
        return samples, steps

    def _speed(self, samples: _Samples, clip: Clip, condition: Condition) -> _Step:
        if condition.speed == 1:
            return samples, []
        # Fewer samples, played at the old rate: shorter and higher.
        target = round(self._recipe.sampling_rate / condition.speed)
        transform = self._library.Resample(min_sample_rate=target, max_sample_rate=target, p=1.0)
        return self._run(transform, samples, clip, "speed"), [{"speed": condition.speed}]

    def _reverb(self, samples: _Samples, clip: Clip, condition: Condition) -> _Step:
        if condition.reverb == "dry":
            return samples, []
        transform = self._library.ApplyImpulseResponse(self._files[condition.reverb], p=1.0)
        out = self._run(transform, samples, clip, "reverb")
        # A recorded response has any gain; the room must not change the level.
        loud, wet = _rms(samples), _rms(out)
        out = out * np.float32(loud / wet) if wet else out
        return out, [{"reverb": condition.reverb, "file": self._named(transform, "ir_file_path")}]

    def _noise(self, samples: _Samples, clip: Clip, condition: Condition) -> _Step:
        if condition.noise == "none":
            return samples, []
        record: dict[str, Any] = {"noise": condition.noise, "snr_db": condition.snr_db}
        if condition.noise == "babble":
            files = [str(self._babble)]
            record["voices"] = self._write_babble(clip, len(samples))
        else:
            files = self._files[condition.noise]
        transform = self._library.AddBackgroundNoise(
            files, min_snr_db=condition.snr_db, max_snr_db=condition.snr_db, p=1.0
        )
        out = self._run(transform, samples, clip, "noise")
        if np.array_equal(out, samples):
            raise ClipError(
                f"clip {clip.id!r}: no noise could be added: the clip or "
                f"{self._named(transform, 'noise_file_path')} is silent",
                clip_id=clip.id,
            )
        if condition.noise != "babble":
            record["file"] = self._named(transform, "noise_file_path")
            record["offset"] = round(float(transform.parameters["offset"]), 4)
        return out, [record]

    def _gain(self, samples: _Samples, clip: Clip, condition: Condition) -> _Step:
        if condition.gain_db == 0:
            return samples, []
        gain_db = condition.gain_db
        transform = self._library.Gain(min_gain_db=gain_db, max_gain_db=gain_db, p=1.0)
        return self._run(transform, samples, clip, "gain"), [{"gain_db": gain_db}]

    def _band(self, samples: _Samples, clip: Clip, condition: Condition) -> _Step:
        if condition.band_hz is None:
            return samples, []
        for filter_type, edge in zip(("HighPassFilter", "LowPassFilter"), condition.band_hz, strict=True):
            transform = getattr(self._library, filter_type)(
                min_cutoff_freq=edge,
                max_cutoff_freq=edge,
                min_rolloff=_ROLLOFF_DB,
                max_rolloff=_ROLLOFF_DB,
                p=1.0,
            )
            samples = self._run(transform, samples, clip, "band")
        return samples, [{"band_hz": list(condition.band_hz)}]

    def _codec(self, samples: _Samples, clip: Clip, condition: Condition) -> _Step:
        if condition.codec == "none":
            return samples, []
        kind = cast(CodecKind, condition.codec)
        out = code(samples, self._recipe.sampling_rate, kind, _COMPRESSION[kind])
        return out, [{"codec": kind, "compression": _COMPRESSION[kind]}]

    def _run(self, transform: Callable[..., Any], samples: _Samples, clip: Clip, step: str) -> _Samples:
        with _seeded(f"{self._seed}\0{step}\0{clip.id}"), warnings.catch_warnings():
            # Of a noise file's other rate and of silence; the caller looks at the outcome itself.
            warnings.simplefilter("ignore")
            return np.asarray(transform(samples, self._recipe.sampling_rate), np.float32)

    def _named(self, transform: Any, key: str) -> str:
        """Name a file by its folder's name and the path below it, which holds on other machines too."""
        path = Path(transform.parameters[key])
        for name, folder in self._recipe.folders.items():
            if path.is_relative_to(Path(folder).absolute()):
                return f"{name}/{path.relative_to(Path(folder).absolute()).as_posix()}"
        return path.name

    def _write_babble(self, clip: Clip, num_samples: int) -> list[str]:
        """Write other clips on top of each other, all as loud, and return their ids."""
        others = random_order(
            (f"{clip.id}\0{other}" for other in self._clips.ids if other != clip.id), self._seed
        )
        voices = [key.partition("\0")[2] for key in others[: self._recipe.babble_voices]]
        rate = self._recipe.sampling_rate
        total = np.zeros(num_samples)
        for voice in voices:
            audio = self._clips.audio(voice, sampling_rate=rate)
            total += np.resize(audio, num_samples) / (_rms(audio) or 1.0)
        total *= _BABBLE_PEAK / (np.abs(total).max() or 1.0)
        soundfile = require("soundfile", "write audio files")
        soundfile.write(self._babble, total, rate, format="WAV", subtype="PCM_24")
        return voices


_Samples = NDArray[np.float32]
_Step = tuple[_Samples, list[dict[str, Any]]]


@contextmanager
def _seeded(key: str) -> Iterator[None]:
    """Seed the global generators that audiomentations draws from, and give them back as they were."""
    seed = int(sha256(key.encode())[:8], 16)
    before, before_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the library's generator
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the library's generator
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)  # noqa: NPY002 - the library's generator


def _audio_files(name: str, folder: Path) -> list[str]:
    suffixes = {".wav", ".flac", ".ogg", ".mp3", ".aiff"}
    files = sorted(str(p.absolute()) for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    if not files:
        raise ConfigError(f"the folder of {name!r}, {folder}, holds no audio")
    return files


def _rms(samples: NDArray[np.floating[Any]]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
