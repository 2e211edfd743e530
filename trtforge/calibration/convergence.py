"""How far the scales of a part of the clips lie from those of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trtforge.calibration.choose import METHODS, choose
from trtforge.calibration.clip_observations import ClipObservations
from trtforge.calibration.observers import Observer
from trtforge.errors import CalibrationError, ConfigError
from trtforge.scales import Scales

FIRST_SIZE = 8


@dataclass(frozen=True)
class Drift:
    """How far thresholds over some clips lie from those over all.

    Drift is ``|amax / amax over all clips - 1|``; the figures are over all tensors and orders of one kind.

    Parameters
    ----------
    order : kind of order in which the clips were taken.
    method : how the thresholds were chosen.
    num_clips : clips taken.
    num_orders : orders of that kind that were tried.
    median, p99 : of the drifts; the 99th percentile is interpolated between neighbours.
    by_tensor : tensor name to its largest drift in any of the orders.
    """

    order: str
    method: str
    num_clips: int
    num_orders: int
    median: float
    p99: float
    by_tensor: Mapping[str, float] = field(hash=False)

    @property
    def worst_tensor(self) -> str:
        """Name of the tensor that drifts most."""
        return max(self.by_tensor, key=lambda name: self.by_tensor[name])


@dataclass(frozen=True)
class Convergence:
    """Drift by number of clips, for each order and method.

    Parameters
    ----------
    num_clips : clips of the whole set, which is what drift is measured from.
    drifts : by order, then method, then number of clips; the whole set, whose drift is zero, is not listed.
    max_median, max_p99 : drifts below which a number of clips is enough.
    """

    num_clips: int
    drifts: tuple[Drift, ...]
    max_median: float = 0.01
    max_p99: float = 0.05

    def curve(self, order: str, method: str) -> tuple[Drift, ...]:
        """Return the drifts of one order and method, by number of clips."""
        return tuple(drift for drift in self.drifts if (drift.order, drift.method) == (order, method))

    def enough(self, order: str, method: str) -> int | None:
        """Return the least number of clips from which on the drift stays small; None if it never does."""
        enough: int | None = None
        for drift in reversed(self.curve(order, method)):
            if drift.median >= self.max_median or drift.p99 >= self.max_p99:
                break
            enough = drift.num_clips
        return enough

    @property
    def orders(self) -> tuple[str, ...]:
        """Kinds of orders, each once."""
        return tuple(dict.fromkeys(drift.order for drift in self.drifts))

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods, each once."""
        return tuple(dict.fromkeys(drift.method for drift in self.drifts))


def subset_sizes(num_clips: int, *, first: int = FIRST_SIZE) -> tuple[int, ...]:
    """Return ``first`` and its doublings up to ``num_clips``, and ``num_clips`` itself."""
    doublings = [first << shift for shift in range(num_clips.bit_length()) if first << shift < num_clips]
    return (*doublings, num_clips)


def convergence(
    observed: ClipObservations,
    orders: Mapping[str, Sequence[Sequence[str]]],
    *,
    methods: Sequence[str] = METHODS,
    percentile: float = 99.99,
    max_median: float = 0.01,
    max_p99: float = 0.05,
) -> Convergence:
    """Choose thresholds over the first 8, 16, ... clips of each order and compare them with those over all.

    Histograms are merged one clip at a time, so memory is one histogram for each tensor, 32 KiB, beyond what
    ``observed`` keeps.

    Parameters
    ----------
    observed : what each clip gave.
    orders : kind to orders of clip ids, all of one length; an order need not name every clip.
    methods : of choosing.
    percentile : as for `choose`.
    max_median, max_p99 : drifts below which a number of clips is enough.

    Raises
    ------
    ConfigError : there is no order, or those of one kind differ in length.
    CalibrationError : an order names a clip that was not observed or names one twice, or a tensor held no
        values.
    """
    whole = observed.merged()
    full = {method: choose(whole, method, percentile=percentile) for method in methods}
    drifts: list[Drift] = []
    if not any(orders.values()):
        raise ConfigError("there is no order in which to take the clips")
    for kind, sequences in orders.items():
        if len({len(sequence) for sequence in sequences}) != 1:
            raise ConfigError(f"orders of the kind {kind!r} must all have one length")
        sizes = [size for size in subset_sizes(len(sequences[0])) if size < len(observed)]
        # [method][size][order][tensor]
        runs = [_prefixes(observed, sequence, sizes, full, percentile) for sequence in sequences]
        for method in methods:
            for size in sizes:
                values = np.array([run[method][size] for run in runs])
                drifts.append(
                    Drift(
                        order=kind,
                        method=method,
                        num_clips=size,
                        num_orders=len(runs),
                        median=float(np.median(values)),
                        p99=float(np.percentile(values, 99)),
                        by_tensor=dict(zip(observed.tensors, values.max(axis=0).tolist(), strict=True)),
                    )
                )
    return Convergence(len(observed), tuple(drifts), max_median, max_p99)


def _prefixes(
    observed: ClipObservations,
    order: Sequence[str],
    sizes: Sequence[int],
    full: Mapping[str, Scales],
    percentile: float,
) -> dict[str, dict[int, list[float]]]:
    if len(set(order)) < len(order):
        raise CalibrationError("an order of clips names one twice")
    observers = {name: Observer() for name in observed.tensors}
    result: dict[str, dict[int, list[float]]] = {method: {} for method in full}
    for size, clip_id in enumerate(order, start=1):
        for name, histogram in observed.histograms(clip_id).items():
            observers[name].merge(histogram)
        if size in sizes:
            part = observed.as_observations(observers, size)
            for method, scales in full.items():
                chosen = choose(part, method, percentile=percentile)
                result[method][size] = [
                    abs(chosen[name].amax / scales[name].amax - 1) for name in observed.tensors
                ]
    return result
