"""Keep what NVIDIA's library says, so that its own reason reaches the user's exception."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from trtforge.errors import PluginMissingError

# What the libraries print for a plugin that is not registered, in the wordings of the versions.
_MISSING_PLUGIN = (
    re.compile(r"could not find plugin:? (?P<name>\S+?) version:? (?P<version>\S+)"),
    re.compile(r"(?P<name>\S+) plugin creator version (?P<version>\S+) was not found in plugin registry"),
    re.compile(r"IPluginCreator not found in Plugin Registry"),
    re.compile(r"Plugin not found, are the plugin name, version, and namespace correct"),
)
# What they print before the name of the layer that they cannot build, and after it.
_BLAMED = (
    re.compile(r"for node (?P<layer>\{.+?\]\}|.+?)(?: due to\b|\.?\)|\.?$|\.? \[)"),
    re.compile(r"In node -?\d+ with name: (?P<layer>.+?) and operator: "),
)
# What helps where a plugin is missing: for an operator of ONNX's own, and for any other.
_LACKING = "this library lacks the operator: replace it, or build with another library", ("flavor",)
_UNREGISTERED = (
    "name the library that holds it in plugins (to run, or in TRTFORGE_PLUGINS), or replace the operator",
    ("plugins",),
)
# A name that stands for itself in a message must be long enough not to be a word of it.
_MIN_NAME_LENGTH = 4
_LAYER_LIST = re.compile(r"\s*Layers:\s*\nName: |(?:Engine Layer Information:\s*)?Layer\(\w+\): ")
# Follows every error where there is no driver and explains nothing.
_NOISE = re.compile(r"cudaError 35: CUDA driver version is insufficient")
_MAX_WARNINGS = 1000
_HINTS = (
    (
        re.compile(r"Could not find any implementation for node"),
        "try another optimization_level, leave workspace_bytes at its default, or quantize fewer layers",
        ("optimization_level", "workspace_bytes"),
    ),
    (
        re.compile(r"within workspace limit"),
        "raise workspace_bytes, or leave it at its default",
        ("workspace_bytes",),
    ),
    (
        re.compile(r"[Oo]ut ?[Oo]f ?[Mm]emory"),
        "free GPU memory, or lower the largest shapes of the profiles",
        ("profiles", "max_batch"),
    ),
    (
        re.compile(r"[Uu]nable to load library.*lean|nvinfer_lean"),
        "this package of the library lacks the lean runtime: set exclude_lean_runtime=True",
        ("exclude_lean_runtime",),
    ),
    (
        re.compile(r"CHECK\(status == CUDA_SUCCESS\)"),
        "the library wants a GPU for this: leave refit out, or build where there is one",
        ("refit",),
    ),
    (
        re.compile(r"no optimization profile has been defined"),
        "pass profiles=plan_profiles(model_inputs(model), frame_counts)",
        ("profiles",),
    ),
)


@dataclass
class VendorLog:
    """Errors and warnings that the library gave, in order, and its list of layers if it printed one."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    layer_list: str | None = None

    def since(self, num_errors: int) -> VendorLog:
        """Return a log of the errors after the first ``num_errors``."""
        return VendorLog(self.errors[num_errors:])

    @property
    def reason(self) -> str:
        """The errors as one text, those without information left out unless there are no others."""
        telling = [text for text in self.errors if not _NOISE.search(text)] or self.errors
        return "; ".join(dict.fromkeys(telling)) or "the library gave no reason"

    @property
    def hint(self) -> str | None:
        """What is known to help against these errors, or None."""
        return self._advice[0]

    @property
    def settings(self) -> tuple[str, ...]:
        """Names of the arguments that the hint is about."""
        return self._advice[1]

    @property
    def _advice(self) -> tuple[str | None, tuple[str, ...]]:
        known = ((hint, settings) for pattern, hint, settings in _HINTS if pattern.search(self.reason))
        return next(known, (None, ()))

    def layer(self, known: Collection[str] = ()) -> str | None:
        """Return the layer that the errors blame, or None.

        Parameters
        ----------
        known : names of the network's layers; where no error says which it is about, the longest of these
            that one of them mentions is meant.
        """
        for pattern, text in itertools.product(_BLAMED, self.errors):
            if match := pattern.search(text):
                return match["layer"].strip()
        said = [name for name in known if len(name) >= _MIN_NAME_LENGTH and _mentions(self.errors, name)]
        return max(said, key=len, default=None)

    @property
    def is_out_of_memory(self) -> bool:
        """Whether an error speaks of memory that could not be had."""
        return re.search(r"[Oo]ut ?[Oo]f ?[Mm]emory", self.reason) is not None

    def raise_missing_plugin(self, *, operator: str | None = None, is_standard: bool = False) -> None:
        """Raise PluginMissingError if an error says that a plugin is not registered.

        Parameters
        ----------
        operator : name of the ONNX operator in hand, if known.
        is_standard : whether it is one of ONNX's own.
        """
        for pattern, text in itertools.product(_MISSING_PLUGIN, self.errors):
            if match := pattern.search(text):
                named = match.groupdict()
                name = named.get("name") or operator or "of unknown name"
                version = f" version {named['version']}" if "version" in named else ""
                hint, settings = _LACKING if is_standard else _UNREGISTERED
                raise PluginMissingError(
                    f"plugin {name}{version} is not registered: {text}", hint=hint, settings=settings
                )


def _mentions(errors: Collection[str], name: str) -> bool:
    alone = re.compile(rf"(?<![\w/.]){re.escape(name)}(?![\w/])")
    return any(name in text and alone.search(text) for text in errors)


# The library keeps the first logger that it is given, even for other builders and runtimes; so there is one
# for each module of a vendor, which is never freed and hands on what it hears.
_loggers: dict[int, tuple[Any, Any]] = {}
_heard = threading.local()
_latest = VendorLog()


def listen() -> VendorLog:
    """Return a new log of what the library says to this thread, until the thread calls this again.

    What the library says on threads of its own goes to the log that was asked for last.
    """
    global _latest
    _latest = _heard.log = VendorLog()
    return _latest


def own_log() -> VendorLog:
    """Return the log of this thread as it stands, for calls that come too often for a new one each."""
    log: VendorLog | None = getattr(_heard, "log", None)
    return listen() if log is None else log


def heard() -> VendorLog:
    """Return the log of this thread."""
    log: VendorLog = getattr(_heard, "log", _latest)
    return log


def logger_of(trt: Any) -> Any:
    """Return the ``ILogger`` of module ``trt``, which writes into the log that `listen` gave.

    It never raises: an exception inside the vendor's callback would end the process.
    """

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            log = heard()
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                log.errors.append(" ".join(message.split()))
            elif severity == trt.ILogger.Severity.WARNING and len(log.warnings) < _MAX_WARNINGS:
                log.warnings.append(" ".join(message.split()))
            elif _LAYER_LIST.match(message):
                # TensorRT 8.6 may give its layers one by one.
                log.layer_list = "\n".join(filter(None, (log.layer_list, message)))

    if id(trt) not in _loggers:
        _loggers[id(trt)] = trt, Logger()
    return _loggers[id(trt)][1]
