"""Input for a benchmark from a file, where noise will not do."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge.bench.config import Case
from trtforge.bench.subject import shape_of
from trtforge.errors import ConfigError
from trtforge.model import TensorSpec


def rows_from_file(
    path: str | os.PathLike[str], inputs: tuple[TensorSpec, ...]
) -> Callable[[Case], Mapping[str, NDArray[Any]]]:
    """Return what gives a `Subject` the rows of an ``.npz`` file.

    Parameters
    ----------
    path : the file, with an array of each input's name: [rows, ...], as many rows of each, all further axes
        at least as long as a case asks; what is longer is cut at its end.
    inputs : of the network.

    Returns
    -------
    A function of the case. It raises ConfigError for a case that asks for more than the file has.

    Raises
    ------
    ConfigError : the file cannot be read, or lacks an input, has another array, or one of another dtype.
    """
    settings = ("inputs",)
    try:
        with zipfile.ZipFile(path):  # else NumPy takes it for a pickle
            pass
        with np.load(Path(path), allow_pickle=False) as file:
            held = dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is no .npz file of arrays: {error}", settings=settings) from error
    wanted = {spec.name: np.dtype(spec.dtype) for spec in inputs}
    given = {name: array.dtype for name, array in held.items()}
    if given != wanted:
        raise ConfigError(
            f"{path} has {_listed(given) or 'no array'}, and the network's inputs are {_listed(wanted)}",
            hint="write it by numpy.savez, with each input's name and dtype",
            settings=settings,
        )

    def rows(case: Case) -> dict[str, NDArray[Any]]:
        cut = {}
        for spec in inputs:
            array, shape = held[spec.name], shape_of(spec, case)
            if array.ndim != len(shape) or any(np.less(array.shape[1:], shape[1:])):
                raise ConfigError(
                    f"{path} has {spec.name!r} of shape {list(array.shape)}, and {case} takes rows of "
                    f"{list(shape[1:])}",
                    settings=settings,
                )
            window = (slice(None), *map(slice, shape[1:]))
            cut[spec.name] = array[window]
        return cut

    return rows


def _listed(dtypes: Mapping[str, np.dtype[Any]]) -> str:
    return ", ".join(f"{name!r} of {dtype}" for name, dtype in dtypes.items())
