"""Decide whether an engine can run on what it is given, before anything reaches the library."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import numpy as np

from trtforge.errors import InputError
from trtforge.model import TensorSpec
from trtforge.profiles import OptimizationProfile, choose_profile
from trtforge.runtime.counts import Counts
from trtforge.runtime.device_array import DeviceArray
from trtforge.runtime.device_inputs import from_host, is_on_gpu
from trtforge.runtime.inputs import check_array, check_named, check_names, check_shape, check_shared_axes

# NumPy arrays, or what lies on the GPU and says so through DLPack or the CUDA array interface.
Inputs: TypeAlias = Mapping[str, Any]

_MAX_KNOWN_SHAPES = 4096


class Acceptance:
    """Checks of inputs, with the shapes that passed remembered.

    Parameters
    ----------
    inputs, profiles : the engine's.
    device : CUDA device ordinal.
    narrow_int64 : take int64 arrays for int32 inputs.
    counts : where copies of another layout are counted.
    by_value : inputs whose values decide shapes, which are read on the host.
    """

    def __init__(
        self,
        inputs: tuple[TensorSpec, ...],
        profiles: tuple[OptimizationProfile, ...],
        *,
        device: int,
        narrow_int64: bool,
        counts: Counts,
        by_value: Collection[str] = (),
    ) -> None:
        self._inputs, self._profiles, self._device = inputs, profiles, device
        self._narrow_int64, self._counts = narrow_int64, counts
        self._expected = tuple((spec.name, np.dtype(spec.dtype), spec) for spec in inputs)
        self._by_value = frozenset(by_value)
        self._chosen: dict[tuple[tuple[tuple[int, ...], ...], ...], int | None] = {}

    def checked(self, arrays: Inputs) -> dict[str, Any]:
        """Return the inputs in the engine's order, those on the host checked and in C order.

        Raises
        ------
        InputError : a name, dtype, device or, on the host, a fixed size does not fit.
        """
        if type(arrays) is not dict:
            check_named(arrays)
        if len(arrays) != len(self._expected):
            check_names(self._inputs, tuple(arrays))
        checked = {}
        for name, dtype, spec in self._expected:
            try:
                value = arrays[name]
            except KeyError:
                check_names(self._inputs, tuple(arrays))
                raise
            if type(value) is DeviceArray:
                if value.dtype != dtype or value.device != self._device or name in self._by_value:
                    self._refuse(spec, dtype, value)
                checked[name] = value
            else:
                checked[name] = self._checked_one(spec, value)
        return checked

    def _refuse(self, spec: TensorSpec, dtype: np.dtype[Any], value: DeviceArray) -> None:
        if value.dtype != dtype:
            raise InputError(f"input {spec.name!r} has dtype {value.dtype}, wanted {spec}")
        if spec.name in self._by_value:
            raise InputError(
                f"input {spec.name!r} decides shapes by its values, which are read on the host, and lies on "
                "a GPU",
                hint="pass a NumPy array",
            )
        raise InputError(
            f"input {spec.name!r} lies on GPU {value.device}, the session runs on GPU {self._device}"
        )

    def _checked_one(self, spec: TensorSpec, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            if is_on_gpu(spec.name, value) and spec.name not in self._by_value:
                return value
            lent = from_host(spec.name, value)
            value = value if lent is None else lent
        if isinstance(value, np.ndarray) and not value.flags.c_contiguous:
            self._counts.add(layout_copies=1)
        return check_array(spec, value, narrow_int64=self._narrow_int64)

    def choose(
        self, shapes: Mapping[str, tuple[int, ...]], values: Mapping[str, tuple[int, ...]]
    ) -> int | None:
        """Return the index of the narrowest profile, None where the engine has none.

        Parameters
        ----------
        shapes : of all inputs, in the engine's order.
        values : of the inputs whose values decide shapes.

        Raises
        ------
        InputError : a rank or fixed size does not fit, or axes of one name differ in size.
        ProfileError : no profile holds the shapes.
        """
        key = tuple(shapes.values()), tuple(values.values())
        try:
            return self._chosen[key]
        except KeyError:
            pass
        for spec in self._inputs:
            check_shape(spec, shapes[spec.name])
        check_shared_axes(self._inputs, shapes)
        chosen = choose_profile(self._profiles, shapes, values) if self._profiles else None
        if len(self._chosen) >= _MAX_KNOWN_SHAPES:
            self._chosen.clear()
        self._chosen[key] = chosen
        return chosen
