"""TensorRT's own INT8 calibrators, fed from arrays or answered with a cache."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import BuildError, CalibrationError, ConfigError, InputError
from trtforge.feeds import Arrays
from trtforge.nvidia.cuda import DeviceBuffer, PinnedBuffer, Stream, copy_to_device
from trtforge.nvidia.tensor_names import tensor_names

# From names whose range is known to all names of the parsed network: `trtforge.nvidia.tensor_names`.
Naming: TypeAlias = Callable[[Collection[str]], Mapping[str, str]]

_CLASSES = {"entropy": "IInt8EntropyCalibrator2", "minmax": "IInt8MinMaxCalibrator"}


@dataclass(frozen=True)
class CalibrationRequest:
    """Where the INT8 scales of a network without Q/DQ nodes come from: a cache, or batches.

    Parameters
    ----------
    algorithm : ``entropy`` or ``minmax``; a cache must be of the same.
    cache : makes the cache's content, given what names the parsed network has; None to calibrate on batches.
    batches : input name to array, all of the calibration shape; None where there is a cache.
    shapes : calibration shape of each input, for networks with dynamic axes; empty otherwise.
    """

    algorithm: Literal["entropy", "minmax"]
    cache: Callable[[Naming], bytes] | None = None
    batches: Iterable[Arrays] | None = None
    shapes: Mapping[str, tuple[int, ...]] | None = None

    def __post_init__(self) -> None:
        if self.algorithm not in _CLASSES:
            raise ConfigError(f"calibrator must be one of {', '.join(_CLASSES)}, got {self.algorithm!r}")
        if (self.cache is None) == (self.batches is None):
            raise ConfigError("calibration needs either a cache or batches")


class Calibration:
    """A calibrator at work in one build; holds GPU memory until it is closed.

    TensorRT calls it back from C++, where an exception cannot pass. What goes wrong in a batch is kept, the
    library is told that there are no more batches, and `check` raises it once the build has returned.

    Parameters
    ----------
    trt : the vendor's module.
    network : the parsed network.
    request : where scales come from.
    dtypes : NumPy's name of each input's dtype.

    Raises
    ------
    CalibrationCacheError : no cache can be made for this network.
    """

    def __init__(
        self, trt: Any, network: Any, request: CalibrationRequest, dtypes: Mapping[str, str]
    ) -> None:
        self.written: bytes | None = None
        self.num_batches = 0
        self._error: BaseException | None = None
        self._given: bytes | None = None
        if request.cache is not None:
            self._given = request.cache(lambda known: tensor_names(network, known))
        self._batches: Iterator[Arrays] = iter(request.batches or ())
        self._dtypes = dtypes
        self._batch_size = next((shape[0] for shape in (request.shapes or {}).values() if shape), 1)
        self._resources = ExitStack()
        self._buffers: dict[str, tuple[PinnedBuffer, DeviceBuffer]] = {}
        self._stream: Stream | None = None
        # The builder config keeps no reference of its own to the calibrator.
        self.calibrator = _make_calibrator(trt, request.algorithm, self)

    def __enter__(self) -> Calibration:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def check(self) -> None:
        """Raise what went wrong in a callback; nothing that was built must be used then."""
        if self._error is not None:
            raise self._error

    def next_batch(self, names: Sequence[str]) -> list[int] | None:
        """Return the addresses of the next batch's inputs, or None when there are no more."""
        if self._error is not None:
            return None
        try:
            if self._given is not None:
                raise BuildError(
                    "the library did not take the calibration cache and asked for data instead",
                    hint="see the warnings; the cache must be of this library version and calibrator",
                )
            batch = next(self._batches, None)
            if batch is None:
                if self.num_batches == 0:
                    raise CalibrationError("calibration needs at least one batch, the feeds gave none")
                return None
            addresses = [self._upload(name, batch) for name in names]
            if self._stream is not None:
                self._stream.synchronize()
            self.num_batches += 1
            return addresses
        except BaseException as error:
            self._error = error
            return None

    def read_cache(self) -> bytes | None:
        """Return the cache that was given, or None."""
        return self._given

    def write_cache(self, content: Any) -> None:
        """Keep the cache that the library made."""
        try:
            self.written = bytes(content)
        except BaseException as error:
            self._error = self._error or error

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self._batch_size

    def _upload(self, name: str, batch: Arrays) -> int:
        if name not in batch:
            raise InputError(f"a batch lacks the input {name!r}; it has {sorted(batch)}")
        array = _converted(name, np.asarray(batch[name]), self._dtypes.get(name))
        if self._stream is None:
            self._stream = self._resources.enter_context(Stream())
        if name not in self._buffers:
            self._buffers[name] = (
                self._resources.enter_context(PinnedBuffer()),
                self._resources.enter_context(DeviceBuffer()),
            )
        pinned, device = self._buffers[name]
        pinned.reserve(array.nbytes)
        device.reserve(array.nbytes)
        pinned.view(array.shape, array.dtype)[...] = array
        copy_to_device(device, pinned, array.nbytes, self._stream)
        return device.address


def attach(
    trt: Any,
    builder: Any,
    network: Any,
    config: Any,
    request: CalibrationRequest,
    dtypes: Mapping[str, str],
) -> Calibration:
    """Make the calibrator of a build and give it to the builder's settings.

    Raises
    ------
    CalibrationCacheError : no cache can be made for this network.
    CalibrationError : the library refuses the calibration shape.
    """
    calibration = Calibration(trt, network, request, dtypes)
    config.int8_calibrator = calibration.calibrator
    if request.shapes:
        profile = builder.create_optimization_profile()
        try:
            for name, shape in request.shapes.items():
                profile.set_shape(name, shape, shape, shape)
        except (RuntimeError, ValueError) as error:
            raise CalibrationError(
                f"the library refuses to calibrate at {dict(request.shapes)}: {error}"
            ) from None
        if not config.set_calibration_profile(profile):
            raise CalibrationError(f"the library refuses to calibrate at {dict(request.shapes)}")
    return calibration


def _make_calibrator(trt: Any, algorithm: str, calibration: Calibration) -> Any:
    base = getattr(trt, _CLASSES[algorithm])

    class Calibrator(base):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            base.__init__(self)

        def get_batch_size(self) -> int:
            return calibration.batch_size

        def get_batch(self, names: Sequence[str]) -> list[int] | None:
            return calibration.next_batch(names)

        def read_calibration_cache(self) -> bytes | None:
            return calibration.read_cache()

        def write_calibration_cache(self, cache: Any) -> None:
            calibration.write_cache(cache)

    return Calibrator()


def _converted(name: str, array: NDArray[Any], dtype: str | None) -> NDArray[Any]:
    # Libraries without 64-bit integers declare such inputs as 32-bit.
    if dtype == "int32" and array.dtype == np.int64 and np.array_equal(array, array.astype(np.int32)):
        return array.astype(np.int32)
    if dtype is not None and str(array.dtype) != dtype:
        raise InputError(f"a batch gives {name!r} as {array.dtype}, the network takes {dtype}")
    return array
