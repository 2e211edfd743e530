"""Where measurements go: one interface, whatever collects them."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod

from trtforge.errors import ConfigError
from trtforge.serving.metrics.table import METRICS, Metric

MAX_SERIES = 2_000


class MetricSink(ABC):
    """Takes measurements by the names of `METRICS`; share it between threads.

    A set of label values that comes for the first time is checked and bound once; later ones only look it up.
    Beyond ``max_series`` time series new sets are dropped, with one ``RuntimeWarning``: measuring must not
    take down what it measures.

    Parameters
    ----------
    max_series : most time series, each bucket of a histogram counted.
    """

    def __init__(self, *, max_series: int = MAX_SERIES) -> None:
        self.max_series = max_series
        self.num_series = 0
        self._lock = threading.Lock()
        self._bound: dict[tuple[str, ...], object | None] = {}
        self._has_warned = False

    def declare(self, name: str, *values: str) -> None:
        """Let a counter begin at 0, so that its first event is seen as an increase; see `count`."""
        self._of(name, values, "counter")

    def count(self, name: str, *values: str, amount: float = 1.0) -> None:
        """Raise a counter.

        Parameters
        ----------
        name : the metric's, without the prefix.
        values : of its labels, in the order of the table.
        amount : by how much, above 0.

        Raises
        ------
        ConfigError : there is no such counter, or it has other labels.
        """
        bound = self._of(name, values, "counter")
        if bound is not None:
            self._count(bound, amount)

    def set(self, name: str, *values: str, to: float) -> None:
        """Set a gauge; see `count`."""
        bound = self._of(name, values, "gauge")
        if bound is not None:
            self._set(bound, to)

    def observe(self, name: str, *values: str, value: float) -> None:
        """Add a value to a histogram; see `count`."""
        bound = self._of(name, values, "histogram")
        if bound is not None:
            self._observe(bound, value)

    def info(self, name: str, *values: str) -> None:
        """Tell versions; see `count`."""
        bound = self._of(name, values, "info")
        if bound is not None:
            self._set(bound, 1.0)

    @abstractmethod
    def _bind(self, metric: Metric, values: tuple[str, ...]) -> object:
        """Return what `_count`, `_set` and `_observe` take for these label values."""

    @abstractmethod
    def _count(self, bound: object, amount: float) -> None: ...

    @abstractmethod
    def _set(self, bound: object, value: float) -> None: ...

    @abstractmethod
    def _observe(self, bound: object, value: float) -> None: ...

    def _of(self, name: str, values: tuple[str, ...], kind: str) -> object | None:
        key = (kind, name, *values)
        try:
            return self._bound[key]
        except KeyError:
            return self._first(key, name, values, kind)

    def _first(self, key: tuple[str, ...], name: str, values: tuple[str, ...], kind: str) -> object | None:
        metric = METRICS.get(name)
        if metric is None or metric.kind != kind:
            raise ConfigError(f"there is no {kind} {name!r}", hint="METRICS has all of them")
        if len(values) != len(metric.labels):
            raise ConfigError(f"{name} has labels {list(metric.labels)}, got {list(values)}")
        with self._lock:
            if key in self._bound:
                return self._bound[key]
            if self.num_series + metric.series_each > self.max_series:
                if not self._has_warned:
                    self._has_warned = True
                    warnings.warn(
                        f"{metric.full_name}{list(values)} is not reported: there are {self.num_series} time "
                        f"series already, of {self.max_series} at most",
                        RuntimeWarning,
                        stacklevel=4,
                    )
                return None
            self._bound[key] = bound = self._bind(metric, values)
            self.num_series += metric.series_each
            return bound


class NullSink(MetricSink):
    """Checks names and labels, and keeps nothing."""

    def _bind(self, metric: Metric, values: tuple[str, ...]) -> object:
        return None

    def _count(self, bound: object, amount: float) -> None:
        pass

    def _set(self, bound: object, value: float) -> None:
        pass

    def _observe(self, bound: object, value: float) -> None:
        pass
