"""Log-mel features, the input of most speech networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from trtforge._optional import require
from trtforge.errors import ConfigError, InputError, ModelError
from trtforge.model import ModelSource, TensorSpec

# Added to the standard deviation of a band, so that a silent one stays finite.
_EPSILON = 1e-5
# Frames transformed at a time: bounds memory on long clips.
_BLOCK_FRAMES = 4096


@dataclass(frozen=True)
class LogMel:
    """Log-mel spectrogram, normalized for each band over the clip.

    Frames are centred on every ``hop_length``-th sample, the clip standing between zeros. Each is weighted
    by a periodic Hann window of ``win_length`` in the middle of ``n_fft`` samples; the power spectrum is
    summed by triangular filters on Slaney's mel scale, each of unit area; then ``log(mel + log_floor)``;
    then, band by band, ``(x - mean) / (std + 1e-5)`` over the clip's frames, with the population's standard
    deviation.

    Parameters
    ----------
    sampling_rate : of the audio that is taken, in Hz.
    num_mels : number of bands.
    n_fft : length of the transform, in samples; even.
    win_length : length of the window, in samples, at most ``n_fft``.
    hop_length : step from frame to frame, in samples.
    f_min, f_max : lower edge of the first band and upper edge of the last, in Hz.
    log_floor : power added before the logarithm.
    normalize : ``"per_band"``, or ``"none"`` to stop after the logarithm.
    input_name : the network's input that takes the features.
    min_frames : fewest frames that the network can use; see `min_num_samples`.

    Raises
    ------
    ConfigError : a setting is out of range, alone or together with another.

    References
    ----------
    M. Slaney, "Auditory Toolbox", Interval Research Technical Report 1998-010.
    B. McFee et al., "librosa: Audio and Music Signal Analysis in Python", SciPy 2015.
    """

    kind: ClassVar[str] = "log_mel"

    sampling_rate: int = 16_000
    num_mels: int = 80
    n_fft: int = 512
    win_length: int = 400
    hop_length: int = 160
    f_min: float = 0.0
    f_max: float = 8_000.0
    log_floor: float = 2**-24
    normalize: Literal["per_band", "none"] = "per_band"
    input_name: str = "mel"
    min_frames: int = 1

    def __post_init__(self) -> None:
        _check_integer(self, "sampling_rate", 8_000, 192_000)
        _check_integer(self, "num_mels", 1, 1024)
        _check_integer(self, "n_fft", 2, 65_536)
        if self.n_fft % 2:
            raise ConfigError(f"n_fft must be even, so that frames have a centre, got {self.n_fft}")
        _check_integer(self, "win_length", 1, self.n_fft)
        _check_integer(self, "hop_length", 1, 65_536)
        _check_integer(self, "min_frames", 1, 1 << 20)
        for name in ("f_min", "f_max", "log_floor"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"{name} must be a finite number, got {value!r}")
            object.__setattr__(self, name, float(value))
        if not 0 <= self.f_min < self.f_max <= self.sampling_rate / 2:
            raise ConfigError(
                f"0 <= f_min < f_max <= sampling_rate / 2 must hold, got f_min {self.f_min}, f_max "
                f"{self.f_max}, sampling_rate {self.sampling_rate}"
            )
        if self.log_floor <= 0:
            raise ConfigError(f"log_floor must be positive, got {self.log_floor}")
        if self.normalize not in ("per_band", "none"):
            raise ConfigError(f'normalize must be "per_band" or "none", got {self.normalize!r}')
        if not isinstance(self.input_name, str) or not self.input_name:
            raise ConfigError(f"input_name must be the name of an input, got {self.input_name!r}")

    @property
    def min_num_samples(self) -> int:
        """Samples of the shortest clip worth feeding: one window, and ``min_frames`` frames."""
        return max(self.win_length, (self.min_frames - 1) * self.hop_length)

    def num_frames(self, num_samples: int) -> int:
        """Return the number of frames that a clip of ``num_samples`` gives."""
        return 1 + num_samples // self.hop_length

    def num_whole_frames(self, num_samples: int) -> int:
        """Return the number of frames that lie wholly in ``num_samples``, where nothing is padded."""
        return max(0, 1 + (num_samples - self.n_fft) // self.hop_length)

    def __call__(self, audio: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Compute the features of one clip, in float64 inside.

        Parameters
        ----------
        audio : floating [num_samples], at least one sample, at `sampling_rate`.

        Returns
        -------
        float32 [num_mels, num_frames] with ``num_frames = 1 + num_samples // hop_length``.

        Raises
        ------
        InputError : the audio is not one row of finite floating samples, or is empty.
        MissingExtraError : librosa is not installed.
        """
        audio = np.asarray(audio)
        if audio.ndim != 1 or not audio.size or not np.issubdtype(audio.dtype, np.floating):
            raise InputError(
                f"log_mel takes floating [num_samples] with at least one sample, got {audio.dtype} "
                f"{list(audio.shape)}",
                hint="average the channels, divide integer samples by their full scale, as decode_audio does",
            )
        if not np.isfinite(audio).all():
            raise InputError("log_mel takes finite samples, got NaN or infinity among them")
        # Padded here and not by librosa, which warns of clips shorter than the transform.
        mel = self.log_power(np.pad(audio.astype(np.float64), self.n_fft // 2))
        if self.normalize == "per_band":
            return self.normalized(mel, mel.mean(axis=1), mel.std(axis=1))
        return mel.astype(np.float32)

    def normalized(
        self, mel: NDArray[np.float64], mean: NDArray[np.float64], std: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Normalize each band by a mean and a standard deviation.

        Parameters
        ----------
        mel : float64 [num_mels, frames], of `log_power`.
        mean, std : float64 [num_mels], of the frames of the whole clip.

        Returns
        -------
        float32 [num_mels, frames].
        """
        return ((mel - mean[:, None]) / (std[:, None] + _EPSILON)).astype(np.float32)

    def log_power(self, padded: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the features before normalization, of samples that the caller has padded.

        Parameters
        ----------
        padded : float64 [num_samples]; the first frame takes the first ``n_fft`` of them.

        Returns
        -------
        float64 [num_mels, frames], for all frames that lie wholly in the samples.

        Raises
        ------
        MissingExtraError : librosa is not installed.
        """
        return np.log(self.power(padded) + self.log_floor)

    def power(self, padded: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute what `log_power` takes the logarithm of; it takes, returns and raises the same."""
        librosa = require("librosa", "compute log-mel features")
        filters = _mel_filters(self.sampling_rate, self.n_fft, self.num_mels, self.f_min, self.f_max)
        num_frames = self.num_whole_frames(len(padded))
        mel = np.empty((self.num_mels, num_frames), np.float64)
        for first in range(0, num_frames, _BLOCK_FRAMES):
            last = min(first + _BLOCK_FRAMES, num_frames)
            samples = padded[first * self.hop_length : (last - 1) * self.hop_length + self.n_fft]
            spectrum = librosa.stft(
                samples,
                n_fft=self.n_fft,
                win_length=self.win_length,
                hop_length=self.hop_length,
                window="hann",
                center=False,
            )
            mel[:, first:last] = filters @ (spectrum.real**2 + spectrum.imag**2)
        return mel

    def check(self, inputs: Sequence[TensorSpec]) -> None:
        """Raise unless a network with these inputs takes these features.

        Parameters
        ----------
        inputs : what `trtforge.model.model_inputs` says of the network.

        Raises
        ------
        ModelError : no input has the features' name, another input would stay without data, or dtype, rank
            or an axis does not fit float32 [batch, num_mels, frames].
        """
        gives = f"{self.input_name}: float32 [batch, {self.num_mels}, frames]"
        has = "; ".join(map(str, inputs)) or "no inputs"
        found = {spec.name: spec for spec in inputs}.get(self.input_name)
        if found is None:
            raise ModelError(
                f"the features give {gives}, the network has no input of that name; it has {has}",
                hint="name the input in the features: LogMel(input_name=...)",
            )
        if len(inputs) > 1:
            raise ModelError(
                f"the features give only {gives}, the network takes {len(inputs)} inputs: {has}",
                hint="export it without the others, such as lengths, by a module that computes them from the "
                "features' shape; or calibrate with arrays in Python (trtforge.ArrayFeeds)",
            )
        if found.dtype != "float32":
            raise ModelError(f"the features give {gives}, the network wants {found.dtype}: {found}")
        if len(found.shape) != 3:
            raise ModelError(
                f"the features give {gives}, the network wants {len(found.shape)} axes: {found}",
                hint="what takes other features, or samples, is calibrated with arrays in Python "
                "(trtforge.ArrayFeeds)",
            )
        if isinstance(found.shape[1], str) and found.shape[2] == self.num_mels:
            raise ModelError(
                f"the features give {gives}, the network wants the frames before the bands: {found}",
                hint="export it with the bands before the frames, by a module that transposes first",
            )
        if isinstance(found.shape[1], int) and found.shape[1] != self.num_mels:
            raise ModelError(
                f"the features give {gives}, the network wants {found.shape[1]} bands: {found}",
                hint=f"use the features it was trained with, for example LogMel(num_mels={found.shape[1]})",
            )
        if isinstance(found.shape[2], int):
            raise ModelError(
                f"the features give {gives}, as many frames as a clip has; the network wants exactly "
                f"{found.shape[2]}: {found}",
                hint=_fixed_length_hint(found.name, found.shape[2]),
            )

    def to_json(self) -> dict[str, Any]:
        """Return the kind and the settings as plain JSON values."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any, *, source: str = "value") -> LogMel:
        """Check what `to_json` gave and make the features of it; settings left out take their defaults.

        Raises
        ------
        ModelError : the value is of another kind, or a setting is unknown or out of range.
        """
        if not isinstance(value, Mapping) or value.get("kind") != cls.kind:
            raise ModelError(f'{source} does not describe log-mel features: it lacks "kind": "{cls.kind}"')
        settings = {name: setting for name, setting in value.items() if name != "kind"}
        if unknown := sorted(set(settings) - {field.name for field in fields(cls)}):
            raise ModelError(
                f"{source} has settings that log_mel does not know: {', '.join(map(str, unknown))}",
                hint="a newer trtforge may know them; features that differ from the training's ruin accuracy",
            )
        try:
            return cls(**settings)
        except ConfigError as error:
            raise ModelError(f"{source} describes impossible log-mel features: {error.message}") from error

    @classmethod
    def for_model(cls, model: ModelSource) -> LogMel:
        """Read the features that a network names in its metadata, and check that they fit its input.

        Parameters
        ----------
        model : path of an ONNX file, or the network in memory.

        Raises
        ------
        ModelError : the network cannot be read, does not name its features, names another kind, or does not
            fit them.
        """
        from trtforge.audio.kinds import features_for_model

        features = features_for_model(model)
        if not isinstance(features, cls):
            raise ModelError(
                f"the network takes features of kind {features.kind!r}, not {cls.kind!r}",
                hint="trtforge.audio.features_for_model reads any kind",
            )
        return features


@lru_cache(maxsize=16)
def _mel_filters(
    sampling_rate: int, n_fft: int, num_mels: int, f_min: float, f_max: float
) -> NDArray[np.float64]:
    """Return librosa's float32 filterbank, widened: float64 [num_mels, 1 + n_fft // 2], read-only."""
    filters = require("librosa.filters", "compute log-mel features").mel(
        sr=sampling_rate, n_fft=n_fft, n_mels=num_mels, fmin=f_min, fmax=f_max, htk=False, norm="slaney"
    )
    widened: NDArray[np.float64] = np.asarray(filters, np.float64)
    widened.setflags(write=False)
    return widened


def _check_integer(features: LogMel, name: str, smallest: int, largest: int) -> None:
    value = getattr(features, name)
    if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value <= largest:
        raise ConfigError(f"{name} must be an integer from {smallest} to {largest}, got {value!r}")


def _fixed_length_hint(name: str, length: int) -> str:
    return (
        "export the network with a dynamic time axis; one that takes no other length, as Whisper's encoder, "
        "is calibrated in Python:\n"
        "  features = trtforge.LogMel(...)  # as the network was trained\n"
        f"  mel = features(clips.audio(clip, sampling_rate=features.sampling_rate))[:, :{length}]\n"
        f'  batches.append({{"{name}": np.pad(mel, ((0, 0), (0, {length} - mel.shape[1])))[None]}})\n'
        "  scales = trtforge.calibrate(model, trtforge.ArrayFeeds(batches))\n"
        'The page on calibration has all steps up to the engine under "Networks of fixed length"'
    )
