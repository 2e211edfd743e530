"""Count activations over TensorRT's bins, whose range follows from the order of the batches."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trtforge._files import write_bytes
from trtforge._ort import shared_memory
from trtforge.calibration import Observations, entropy_index
from trtforge.calibration.activations import ActivationSource
from trtforge.calibration.collect import DEFAULT_ACTIVATION_BYTES
from trtforge.errors import CalibrationError, ReportError
from trtforge.feeds import Arrays
from trtforge.model import model_inputs

if TYPE_CHECKING:
    import onnx

NUM_BINS = 2048
# How far TensorRT's threshold may lie from the rule's, in bins; the cache rounds scales to float32.
MAX_BINS_OFF = 0.01
RULES = {
    "as_second": "the first bin takes the count of the second, as in trtforge",
    "as_counted": "the first bin keeps its own count, exact zeros left out",
    "with_zeros": "the first bin keeps its own count and that of exact zeros",
}
_FORMAT = "trtforge.bench.native_calibrator.bins/1"
# Values worked on at once.
_PIECE = 1 << 20


@dataclass(frozen=True, eq=False)
class Bins:
    """Counts of one tensor over 2048 equal bins from zero; a value equal to the range lies in the last.

    Parameters
    ----------
    bin_width : in activation units.
    counts : of |x|, int64 [2048], exact zeros left out.
    num_zeros : number of values that are exactly zero.
    """

    bin_width: float
    counts: NDArray[np.int64]
    num_zeros: int

    def amax(self, rule: str) -> float:
        """Choose the entropy threshold by one of `RULES`, in activation units."""
        counts = self.counts
        if rule == "with_zeros":
            counts = counts.copy()
            counts[0] += self.num_zeros
        index = entropy_index(counts, first_bin="as_second" if rule == "as_second" else "as_counted")
        return (index + 0.5) * self.bin_width


def bin_width(first_max: float, largest: float) -> float:
    """Return the width of TensorRT's bins.

    Their range is the largest magnitude of the first batch, doubled until it holds the largest of all.

    Parameters
    ----------
    first_max : largest magnitude of the first batch, above zero, in activation units.
    largest : of all batches.
    """
    end = first_max
    while end < largest:
        end *= 2
    return end / NUM_BINS


def count_bins(
    model: onnx.ModelProto,
    batches: Iterable[Arrays],
    first: Observations,
    total: Observations,
    *,
    activation_bytes: int = DEFAULT_ACTIVATION_BYTES,
) -> dict[str, Bins]:
    """Run the network over the batches once more; count each observed tensor over TensorRT's bins.

    Tensors whose first batch was all zeros are left out: nothing fixes their range.

    Parameters
    ----------
    model : the network.
    batches : those that were observed.
    first : counts over the first batch.
    total : counts over all batches.
    activation_bytes : bound on the activations held at once.

    Raises
    ------
    CalibrationError : a value is not finite or beyond those observed: these are other batches.
    """
    widths = {
        name: bin_width(seen.observed_max, total.tensors[name].observed_max)
        for name, seen in first.tensors.items()
        if seen.observed_max > 0
    }
    counts = {name: np.zeros(NUM_BINS, np.int64) for name in widths}
    zeros = dict.fromkeys(widths, 0)

    def count(name: str, values: NDArray[Any]) -> None:
        zeros[name] += _count(name, values, widths[name], counts[name])

    inputs = {spec.name for spec in model_inputs(model)}
    with shared_memory(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        outputs = [name for name in widths if name not in inputs]
        source = ActivationSource(model, outputs, activation_bytes=activation_bytes)
        for index, arrays in enumerate(batches):
            given = {name: arrays[name] for name in widths if name in inputs}
            for seen in _each(given, source.run(arrays, [f"batch {index}"])):
                list(executor.map(count, seen.keys(), seen.values()))
                # Two segments' activations must never be held at once.
                del seen
        del source
    return {name: Bins(widths[name], counts[name], zeros[name]) for name in widths}


def save_bins(path: Path, bins: Mapping[str, Bins]) -> None:
    """Write a compressed ``.npz`` file."""
    columns: dict[str, Any] = {
        "format": np.array(_FORMAT),
        "names": np.array(list(bins), np.str_),
        "bin_width": np.array([each.bin_width for each in bins.values()], np.float64),
        "counts": np.array([each.counts for each in bins.values()], np.int64).reshape(-1, NUM_BINS),
        "num_zeros": np.array([each.num_zeros for each in bins.values()], np.int64),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)
    write_bytes(path, buffer.getvalue())


def load_bins(path: Path) -> dict[str, Bins]:
    """Read what `save_bins` wrote.

    Raises
    ------
    ReportError : the file is damaged or another.
    """
    try:
        with np.load(path, allow_pickle=False) as columns:
            if str(columns["format"]) != _FORMAT:
                raise ReportError(f"{path} lacks the format {_FORMAT}")
            rows = zip(
                columns["names"], columns["bin_width"], columns["counts"], columns["num_zeros"], strict=True
            )
            return {str(name): Bins(float(width), row, int(zeros)) for name, width, row, zeros in rows}
    except ReportError:
        raise
    except Exception as error:  # zip, zlib and NumPy each raise kinds of their own
        raise ReportError(f"{path} holds no counts over TensorRT's bins: {error}") from error


def _each(given: Mapping[str, Any], segments: Iterator[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield given
    yield from segments


def _count(name: str, values: NDArray[Any], width: float, counts: NDArray[np.int64]) -> int:
    zeros, flat = 0, values.reshape(-1)
    for begin in range(0, flat.size, _PIECE):
        magnitudes = np.abs(flat[begin : begin + _PIECE])
        positions = magnitudes.astype(np.float64) / width
        # Another processor may round the largest a little higher.
        if not positions.max() <= NUM_BINS * 1.001:
            raise CalibrationError(
                f"{name}: a magnitude of {magnitudes.max()} lies beyond the range, {width * NUM_BINS}",
                hint="count the batches that were observed, on the same network",
            )
        counts += np.bincount(np.minimum(positions, NUM_BINS - 1).astype(np.int64), minlength=NUM_BINS)
        zeros += magnitudes.size - int(np.count_nonzero(magnitudes))
    counts[0] -= zeros
    return zeros
