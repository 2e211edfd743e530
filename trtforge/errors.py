"""Every exception trtforge raises on purpose.

Each carries a stable ``code`` for programs, a ``hint`` for people and ``retryable``, which says whether the
same call may succeed later without anything being mended.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AccuracyError",
    "BaselineError",
    "BuildError",
    "CalibrationCacheError",
    "CalibrationError",
    "ClipError",
    "ClipSetError",
    "ConfigError",
    "DeadlineError",
    "DeviceLostError",
    "EngineError",
    "EngineIncompatibleError",
    "EngineIntegrityError",
    "EngineSignatureError",
    "ExecutionError",
    "InputError",
    "LockError",
    "MissingExtraError",
    "ModelError",
    "NoGpuError",
    "OutOfMemoryError",
    "PluginMissingError",
    "PrecisionError",
    "ProfileError",
    "QuantizationError",
    "RefusedError",
    "ReportError",
    "RepositoryError",
    "ScalesError",
    "TrtforgeError",
    "UnavailableError",
]


class TrtforgeError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    message : what was asked and what arrived, in one sentence.
    hint : what the reader can do about it, or None.
    settings : names of the arguments that the message and the hint are about, so that whoever calls them by
        other names, as a command line does, can say which are meant.

    Attributes
    ----------
    code : stable name of the kind of error, for programs.
    retryable : True when the same call may succeed later unchanged.
    """

    code: ClassVar[str] = "error"
    retryable: bool = False

    def __init__(self, message: str, *, hint: str | None = None, settings: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.settings = settings

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an error is made anew of its message alone, and some kinds need more.
        return _restore, (type(self), self.args, vars(self))


def _restore(kind: type[TrtforgeError], args: tuple[Any, ...], state: dict[str, Any]) -> TrtforgeError:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


class ConfigError(TrtforgeError, ValueError):
    """A setting is wrong, alone or together with another."""

    code = "config"


class LockError(TrtforgeError):
    """A lock file cannot be made or read."""

    code = "lock"


class MissingExtraError(TrtforgeError, ImportError):
    """A package that an optional part needs is not installed."""

    code = "missing_extra"


class ModelError(TrtforgeError):
    """A network cannot be read, is unsafe to read, or does not fit the features."""

    code = "model"


class ClipError(TrtforgeError):
    """One clip cannot be used.

    Attributes
    ----------
    clip_id : the clip's id in its manifest.
    """

    code = "clip"

    def __init__(self, message: str, *, clip_id: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.clip_id = clip_id


class ClipSetError(TrtforgeError):
    """A clip set is missing, empty, malformed, or has too many bad clips."""

    code = "clip_set"


class CalibrationError(TrtforgeError):
    """Calibration cannot give trustworthy scales."""

    code = "calibration"


class CalibrationCacheError(CalibrationError):
    """A calibration cache file is malformed, stale or hostile."""

    code = "calibration_cache"


class ScalesError(TrtforgeError):
    """A scales record is malformed or belongs to another network."""

    code = "scales"


class ReportError(TrtforgeError):
    """A report is malformed, or of another kind or version."""

    code = "report"


class BaselineError(TrtforgeError):
    """A baseline is missing or malformed, or was measured on something else."""

    code = "baseline"


class QuantizationError(TrtforgeError):
    """A graph cannot be quantized as asked."""

    code = "quantization"


class ProfileError(TrtforgeError):
    """An optimization profile is inconsistent, or an input lies outside every profile."""

    code = "profile"


class BuildError(TrtforgeError):
    """TensorRT could not build the engine; the message carries its own reason.

    Attributes
    ----------
    layer : name of the layer or node that the library blames, or None where it names none.
    """

    code = "build"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        settings: tuple[str, ...] = (),
        layer: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, settings=settings)
        self.layer = layer


class PrecisionError(TrtforgeError):
    """An engine was built, and runs layers in another precision than was asked, or may do so.

    Attributes
    ----------
    layers : names of the network's layers that it is about.
    """

    code = "precision"

    def __init__(
        self,
        message: str,
        *,
        layers: tuple[str, ...],
        hint: str | None = None,
        settings: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, settings=settings)
        self.layers = layers


class EngineError(TrtforgeError):
    """An engine file cannot be used."""

    code = "engine"


class EngineIntegrityError(EngineError):
    """An engine or its manifest is not what was written: truncated, altered, or not an engine."""

    code = "engine_integrity"


class EngineSignatureError(EngineIntegrityError):
    """A signature is required of an engine, and it has none, or none that a trusted key made."""

    code = "engine_signature"


class EngineIncompatibleError(EngineError):
    """An engine was built for another library version or GPU.

    Attributes
    ----------
    have : what this machine offers.
    want : what the engine needs.
    """

    code = "engine_incompatible"

    def __init__(self, message: str, *, have: str, want: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.have = have
        self.want = want


class PluginMissingError(EngineError):
    """A plugin that the engine or network names is not registered."""

    code = "plugin_missing"


class InputError(TrtforgeError, ValueError):
    """A feed does not fit the inputs: name, dtype, rank or shape."""

    code = "input"


class ExecutionError(TrtforgeError):
    """An inference call failed; its outputs must not be used."""

    code = "execution"


class OutOfMemoryError(ExecutionError):
    """The GPU had no memory left for this call; what was running before still holds."""

    code = "out_of_memory"
    retryable = True


class DeviceLostError(ExecutionError):
    """The CUDA context is corrupt; only a new process can use the GPU again."""

    code = "device_lost"


class RepositoryError(TrtforgeError):
    """A model repository would not be served, or not as the engine needs it."""

    code = "model_repository"


class UnavailableError(TrtforgeError):
    """A worker takes no requests now: it starts, drains, or was lost and is started again.

    Attributes
    ----------
    retry_after : seconds after which trying again is worth while.
    """

    code = "unavailable"
    retryable = True

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RefusedError(UnavailableError):
    """A worker has too much to do to meet the request's deadline, and turned it away before any work."""

    code = "refused"


class DeadlineError(TrtforgeError):
    """A request was not finished by its deadline."""

    code = "deadline"
    retryable = True


class NoGpuError(TrtforgeError):
    """A GPU was asked for where there is none."""

    code = "no_gpu"


class AccuracyError(TrtforgeError, AssertionError):
    """A stated accuracy requirement is not met."""

    code = "accuracy"
