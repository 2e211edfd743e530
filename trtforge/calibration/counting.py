"""Count the tensors of one batch on all cores, and say which clips are not finite."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from trtforge.calibration.histogram import Histogram
from trtforge.calibration.observers import Observer, Tally
from trtforge.calibration.padding import Array, Part
from trtforge.errors import CalibrationError

# Large enough that merging a chunk's counts costs nothing beside making them, small enough to share out.
_CHUNK_VALUES = 1 << 21


@dataclass
class BatchCounts:
    """Counts of one batch, tensor by tensor, kept apart until the whole batch is known to be finite.

    Parameters
    ----------
    histograms : tensor name to the counts of its magnitudes.
    nonfinite : tensor name to row (None where it belongs to every clip), number of non-finite values, and
        number of values of that row.
    """

    histograms: dict[str, Histogram] = field(default_factory=dict)
    nonfinite: dict[str, list[tuple[int | None, int, int]]] = field(default_factory=dict)

    def add(self, executor: Executor, activations: Mapping[str, Sequence[Part]]) -> None:
        """Count tensors and return when all are counted.

        Raises
        ------
        CalibrationError : a tensor is not of floating point.
        """
        pending = [
            (name, part, [executor.submit(_count, chunk) for chunk in _chunks(part.values)])
            for name, parts in activations.items()
            for part in parts
        ]
        totals: dict[str, Observer] = {}
        for name, part, futures in pending:
            num_nonfinite = 0
            for future in futures:
                observer, tally = _result(name, future)
                num_nonfinite += tally.num_nonfinite
                if totals.setdefault(name, observer) is not observer:
                    totals[name].merge(observer)
            if num_nonfinite:
                self.nonfinite.setdefault(name, []).append((part.row, num_nonfinite, part.values.size))
        self.histograms |= {name: observer.histogram() for name, observer in totals.items()}

    def faults(
        self, names: Sequence[str], clip_ids: Sequence[str], inputs: Collection[str] = ()
    ) -> dict[str, str]:
        """Return the clips that are not finite, each with the first of ``names`` that shows it.

        Of the network's ``inputs``, it is the feed that is not finite; they come first.
        """
        faults: dict[str, str] = {}
        for name in sorted(names, key=lambda name: name not in inputs):
            kind = "the feed itself holds NaN or infinity: " if name in inputs else ""
            what = "input" if name in inputs else "tensor"
            for row, count, size in self.nonfinite.get(name, ()):
                for clip in clip_ids if row is None or row >= len(clip_ids) else [clip_ids[row]]:
                    faults.setdefault(
                        clip, f"{kind}{count} of {size} values of {what} {name!r} are not finite"
                    )
        return faults


def _chunks(values: Array) -> Iterator[Array]:
    if values.size <= _CHUNK_VALUES or not values.flags.c_contiguous:
        yield values
        return
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK_VALUES):
        yield flat[start : start + _CHUNK_VALUES]


def _count(values: Array) -> tuple[Observer, Tally]:
    observer = Observer()
    return observer, observer.observe(values)


def _result(name: str, future: Future[tuple[Observer, Tally]]) -> tuple[Observer, Tally]:
    try:
        return future.result()
    except CalibrationError as error:
        raise CalibrationError(f"tensor {name!r} cannot be observed: {error.message}") from None
