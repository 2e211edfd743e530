"""How an exported model is to be served."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trtforge.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MAX_UINT32 = (1 << 32) - 1


@dataclass(frozen=True)
class TritonSettings:
    """How Triton is to serve a model.

    Parameters
    ----------
    max_batch_size : largest batch that Triton may make; None takes what all profiles in use accept, and 0
        switches Triton's batching off.
    preferred_batch_sizes : batches that the dynamic batcher prefers; empty means the largest alone.
    max_queue_delay_us : longest wait for a fuller batch, in microseconds.
    queue_timeout_us : wait in the queue after which a request is refused, in microseconds.
    max_queue_size : requests that may wait; those beyond are refused. Triton's own default is no limit,
        and is not offered.
    instances : execution contexts for each GPU.
    gpus : CUDA device ordinals; empty means all.
    profiles : optimization profiles to serve; empty means all that the engine has.
    num_versions : newest versions that Triton keeps loaded.
    warm_up_runs : requests of each size that are run before the model is ready, 1 or more.
    cuda_graphs : record a CUDA graph of each warm-up shape.

    Raises
    ------
    ConfigError : a value is out of range.
    """

    max_batch_size: int | None = None
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 2_000
    queue_timeout_us: int = 500_000
    max_queue_size: int = 64
    instances: int = 1
    gpus: tuple[int, ...] = ()
    profiles: tuple[int, ...] = ()
    num_versions: int = 1
    warm_up_runs: int = 2
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        for name in ("max_queue_size", "instances", "num_versions", "warm_up_runs"):
            _check(name, getattr(self, name), 1)
        for name in ("max_queue_delay_us", "queue_timeout_us"):
            _check(name, getattr(self, name), 0)
        if self.max_batch_size is not None:
            _check("max_batch_size", self.max_batch_size, 0)
        for name, least in (("preferred_batch_sizes", 1), ("gpus", 0), ("profiles", 0)):
            for value in getattr(self, name):
                _check(name, value, least)


def check_name(name: str) -> None:
    """Raise ConfigError unless the name can be that of a folder and of a model."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"a model's name must be letters, digits, '_', '.' and '-', got {name!r}", settings=("name",)
        )


def _check(name: str, value: int, least: int) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not least <= value <= _MAX_UINT32:
        raise ConfigError(f"{name} must be a whole number from {least}, got {value!r}", settings=(name,))
