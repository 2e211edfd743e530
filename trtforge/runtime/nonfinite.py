"""What to do with outputs that hold NaN or infinity."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ExecutionError

OnNonfinite = Literal["pass", "raise", "mask"]


def check_finite(outputs: dict[str, NDArray[Any]], policy: OnNonfinite) -> int:
    """Raise, or set what is not finite to 0.

    Parameters
    ----------
    outputs : output name to array, changed in place where the policy is ``mask``.
    policy : ``pass`` does nothing; ``raise`` and ``mask``.

    Returns
    -------
    How many values were set to 0.

    Raises
    ------
    ExecutionError : the policy is ``raise`` and a value is not finite; the message has the counts.
    """
    if policy == "pass":
        return 0
    bad = {
        name: ~np.isfinite(array)
        for name, array in outputs.items()
        if array.dtype.kind in "fc" and not np.isfinite(array).all()
    }
    if bad and policy == "raise":
        told = ", ".join(
            f"{np.count_nonzero(mask)} of {mask.size} values of {name!r}" for name, mask in bad.items()
        )
        raise ExecutionError(
            f"the engine gave values that are not finite: {told}",
            hint="look at the input for such values; on_nonfinite='mask' sets them to 0",
            settings=("on_nonfinite",),
        )
    for name, mask in bad.items():
        outputs[name][mask] = 0
    return int(sum(np.count_nonzero(mask) for mask in bad.values()))
