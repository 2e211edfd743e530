"""What is served, in plain values that a child process can be given."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin, get_type_hints

from trtforge.errors import ConfigError
from trtforge.serving.admission import Limits
from trtforge.serving.policy import DegradeRule

# Over HTTP every request that waits holds a connection, and those must not run out before the queues do:
# batch work that waits would shut out everybody else, and probes.
LIMITS = Limits(waiting=256, batch_waiting=256)
_MORE_CONNECTIONS = 128
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class PipelineSettings:
    """One pipeline.

    Parameters
    ----------
    name : in paths and metrics: letters and digits of ASCII, ``_``, ``.`` and ``-``.
    model, lighter : paths of a network (``.onnx``, run on the CPU) or an engine (on the GPU).
    network : path of the network that says how audio becomes input and outputs become text, where the models
        are engines; the model itself by default, arrays in and out where that says nothing.
    deadline : in seconds, of requests that bring none.
    max_batch, max_frames : largest batch and longest input of a network; engines have profiles.
    max_wait : how long a request waits for others while nothing runs, in seconds.
    num_threads : of ONNX Runtime; all cores by default.
    device : GPU of engines.
    layer_samples : one inference in so many has its layers timed, on a GPU; 0 for none.
    degrade : settings of `DegradeRule` that differ from its defaults.

    Raises
    ------
    ConfigError : a value is of the wrong type or out of range.
    """

    name: str
    model: str
    lighter: str | None = None
    network: str | None = None
    deadline: float = 2.0
    max_batch: int = 8
    max_frames: int = 3000
    max_wait: float = 0.01
    num_threads: int | None = None
    device: int = 0
    layer_samples: int = 1000
    degrade: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            if not _fits(getattr(self, name), kind):
                told = getattr(kind, "__name__", kind)
                raise ConfigError(f"{name} must be {told}, got {getattr(self, name)!r}", settings=(name,))
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"a pipeline is named by letters, digits, '_', '.' and '-', got {self.name!r}",
                hint="name it, as in NAME=MODEL",
            )
        least = {"max_batch": 1, "max_frames": 1, "num_threads": 1, "device": 0, "layer_samples": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ConfigError(f"{name} must be {lowest} or more, got {value}", settings=(name,))
        if not 0 < self.deadline < math.inf:
            raise ConfigError(f"deadline must be positive, got {self.deadline}", settings=("deadline",))
        if not 0 <= self.max_wait < math.inf:
            raise ConfigError(f"max_wait must be 0 or more, got {self.max_wait}", settings=("max_wait",))
        self.rule()

    def rule(self) -> DegradeRule:
        """Return when the tier changes.

        Raises
        ------
        ConfigError : ``degrade`` holds what is no setting of it, or a value that is out of range.
        """
        try:
            return DegradeRule(**{"has_lighter": self.lighter is not None, **self.degrade})  # type: ignore[arg-type]
        except TypeError as error:
            raise ConfigError(f"degrade: {error}", settings=("degrade",)) from error


@dataclass(frozen=True)
class ServiceSettings:
    """All pipelines of a process."""

    pipelines: tuple[PipelineSettings, ...] = field(default=())

    @property
    def max_connections(self) -> int:
        """Connections to take: one for each request that may wait or run, and room for probes."""
        return len(self.pipelines) * (LIMITS.waiting + LIMITS.batch_waiting + _MORE_CONNECTIONS)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"pipelines": [vars(each) for each in self.pipelines]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServiceSettings:
        """Read what `to_json` gave.

        Raises
        ------
        ConfigError : a setting is missing, unknown, of the wrong type or out of range.
        """
        try:
            pipelines = tuple(PipelineSettings(**each) for each in value["pipelines"])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"these are no settings of a service: {error}") from error
        return cls(pipelines)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type: a plain one, a mapping, or one of several."""
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    origin = get_origin(kind)
    if origin is None:
        return isinstance(value, kind)
    return (
        isinstance(value, origin) if origin is Mapping else any(_fits(value, each) for each in get_args(kind))
    )
