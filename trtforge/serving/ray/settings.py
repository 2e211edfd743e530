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
    batches_in_task : most batches that one of Ray's tasks takes, and that run again where its process dies;
        with more of them Ray takes less time for each clip. Fewer are taken where cores would go without.
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
    batches_in_task: int = 8
    min_actors: int = 1
    max_actors: int | None = None
    num_threads: int = 1
    max_deaths: int = 2
    max_restarts: int = 100

    def __post_init__(self) -> None:
        counts = ("batch_size", "batches_in_task", "min_actors", "num_threads", "max_deaths", "max_restarts")
        for name in counts:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}", settings=(name,))
        if self.max_actors is not None and self.max_actors < self.min_actors:
            raise ConfigError(
                f"max_actors {self.max_actors} is below min_actors {self.min_actors}",
                settings=("max_actors", "min_actors"),
            )

    @property
    def max_task_retries(self) -> int:
        """Deaths that one task can cause: those of its batches, and those of each of their clips."""
        return self.max_deaths * (1 + self.batch_size) * self.batches_in_task

    def task_size(self, num_clips: int, num_cores: int) -> int:
        """Return the clips of one task, so that each core gets two tasks where there are clips enough."""
        num_batches = -(-num_clips // self.batch_size)
        return self.batch_size * min(self.batches_in_task, max(1, num_batches // (2 * num_cores)))
