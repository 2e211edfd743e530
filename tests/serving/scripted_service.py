"""Factories of services for child processes: quick to start, and driven by files that tests write."""

import time
from pathlib import Path

from tests.serving.serving_models import doubler
from trtforge.errors import ConfigError, DeviceLostError, EngineIntegrityError, OutOfMemoryError
from trtforge.serving import Worker
from trtforge.serving.metrics import PrometheusSink
from trtforge.serving.service import Service

LOAD_ERRORS = {
    "corrupt": EngineIntegrityError("the plan is not the one that was built"),
    "config": ConfigError("there is no such model"),
    "memory": OutOfMemoryError("no room"),
    "lost": DeviceLostError("lost"),
}


def make(settings, on_lost):
    """Serve a doubler that sleeps, and fails as by a sticky CUDA error while the file ``lose`` is there."""
    if settings.get("is_bad"):
        raise ConfigError("these settings are bad")
    if "load_error" in settings:
        raise LOAD_ERRORS[settings["load_error"]]
    folder = Path(settings["folder"])

    def before(rows):
        time.sleep(settings.get("seconds", 0.0) if (folder / "armed").exists() else 0.0)
        if (folder / "lose").exists():
            (folder / "lose").unlink()  # once: the next process finds a sound GPU
            raise DeviceLostError("CUDA failed to finish the work of a stream: cudaErrorIllegalAddress")

    sink = PrometheusSink()
    worker = Worker(
        "p", doubler(before=before, max_rows=1, sink=sink), deadline=20, sink=sink, on_lost=on_lost
    )
    worker.start()
    return Service([worker], sink)
