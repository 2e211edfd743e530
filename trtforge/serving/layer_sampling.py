"""Time the layers of a few inferences, beside serving and not within it."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from trtforge.errors import DeviceLostError, TrtforgeError
from trtforge.runtime import LayerTime
from trtforge.serving.metrics import MetricSink

MAX_GROUPS = 20
OTHER = "other"


class LayerSampler:
    """Runs one in so many inferences again, in a thread and a context of its own, with its layers timed.

    While the library times layers it waits after each, so an inference that is timed must not be one that
    somebody waits for. A sample that comes while another is timed is left out.

    Parameters
    ----------
    profile : `Session.profile`: arrays and repeats to the time of each layer.
    engine : its label.
    sink : where times go.
    every : one inference in so many is sampled.
    """

    def __init__(
        self,
        profile: Callable[[Mapping[str, Any], int], Sequence[LayerTime]],
        engine: str,
        sink: MetricSink,
        *,
        every: int = 1000,
    ) -> None:
        self._profile, self._engine, self._sink, self._every = profile, engine, sink, every
        self._num_offered = 0
        self._groups: dict[str, str] | None = None
        self._samples: queue.Queue[Mapping[str, Any] | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._work, name="trtforge-layers", daemon=True)
        self._thread.start()

    def offer(self, arrays: Mapping[str, Any]) -> None:
        """Take the input of an inference, or leave it; called by one thread."""
        self._num_offered += 1
        if self._num_offered % self._every or self._samples.full():
            return
        copied = {name: np.array(value) for name, value in arrays.items()}
        try:
            self._samples.put_nowait(copied)
        except queue.Full:
            return

    def close(self) -> None:
        """End the thread, after the sample under way."""
        while self._thread.is_alive():  # where it met an error it has ended, and takes nothing
            with suppress(queue.Full):
                self._samples.put(None, timeout=0.1)
                break
        self._thread.join()

    def _work(self) -> None:
        while (arrays := self._samples.get()) is not None:
            try:
                times = self._profile(arrays, 1)
            except DeviceLostError:
                return  # the next inference meets it too, and tells
            except TrtforgeError:
                continue  # as where memory has no room for a context more
            if self._groups is None:
                self._groups = group_layers(times)
            sums: dict[str, float] = {}
            for layer in times:
                group = self._groups.get(layer.name, OTHER)
                sums[group] = sums.get(group, 0.0) + layer.ms / 1000
            for group, seconds in sums.items():
                self._sink.observe("layer_duration_seconds", self._engine, group, value=seconds)


def group_layers(times: Sequence[LayerTime], most: int = MAX_GROUPS) -> dict[str, str]:
    """Name the group of each layer: what its name says without numbers, for the groups that take longest.

    Parameters
    ----------
    times : of one inference.
    most : groups beside ``other``.

    Returns
    -------
    Layer name to group.
    """
    kinds = {layer.name: _kind(layer.name) for layer in times}
    sums: dict[str, float] = {}
    for layer in times:
        sums[kinds[layer.name]] = sums.get(kinds[layer.name], 0.0) + layer.ms
    kept = set(sorted(sums, key=lambda kind: (-sums[kind], kind))[:most])
    return {name: kind if kind in kept else OTHER for name, kind in kinds.items()}


def _kind(name: str) -> str:
    """Return the first part of a fused layer's name, its indices replaced by ``N``."""
    first = re.split(r" \+ |\|\|", name.strip("{} "))[0]
    return re.sub(r"\d+", "N", first).strip()[:60] or OTHER
