"""How many clips are transcribed."""

from __future__ import annotations

from dataclasses import dataclass

from trtforge.errors import ConfigError


@dataclass(frozen=True)
class ManySettings:
    """How `transcribe_many` spreads clips over actors, and how much dying it bears.

    Parameters
    ----------
    batch_size : clips that run together.
    min_actors, max_actors : processes with the network; by default at most one for each GPU of the
        cluster, or for a network in ONNX Runtime one for each ``num_threads`` cores beside one core that
        decodes.
    num_threads : threads of a network in ONNX Runtime.
    max_deaths : times that a batch, and then each of its clips alone, may take its process with it before
        it is set aside.
    max_restarts : times that one actor is started again before the job fails.

    Raises
    ------
    ConfigError : a value is out of range.
    """

    batch_size: int = 8
    min_actors: int = 1
    max_actors: int | None = None
    num_threads: int = 1
    max_deaths: int = 2
    max_restarts: int = 100

    def __post_init__(self) -> None:
        for name in ("batch_size", "min_actors", "num_threads", "max_deaths", "max_restarts"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}", settings=(name,))
        if self.max_actors is not None and self.max_actors < self.min_actors:
            raise ConfigError(
                f"max_actors {self.max_actors} is below min_actors {self.min_actors}",
                settings=("max_actors", "min_actors"),
            )

    @property
    def max_task_retries(self) -> int:
        """Deaths that one batch can cause: its own, and those of each of its clips."""
        return self.max_deaths * (1 + self.batch_size)
