"""Say whether two systems differ on the same clips by more than chance, by swapping them clip by clip."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trtforge.errors import ConfigError, InputError

Alternative = Literal["two_sided", "greater"]

# Signs held in memory at once; bounds the working set to about 40 MiB.
_MAX_SIGNS = 1 << 22
# A sum of floats is equal to another within this share of all magnitudes.
_ROUNDING = 1e-9


def permutation_test(
    changes: ArrayLike,
    *,
    alternative: Alternative = "two_sided",
    num_permutations: int = 10_000,
    seed: int = 0,
) -> float:
    """Test whether the changes from one system to another, clip by clip, sum to more than chance gives.

    Where the systems are alike, either might have given either result of a clip, so each change might as well
    have had the other sign. The p-value is the share of all sign patterns whose sum is at least as far from
    zero as the one seen. Where they are few all patterns are tried and it is exact; else some are drawn, and
    the one seen counts among them, so that the p-value is never below what it stands for. A test over clips
    leaves the words of one clip free to depend on each other.

    Parameters
    ----------
    changes : candidate minus reference for each clip, such as word errors, float [num_clips].
    alternative : ``two_sided`` for any difference, ``greater`` for an increase alone.
    num_permutations : sign patterns drawn, and the most that are all tried.
    seed : of the draws.

    Returns
    -------
    p-value, in (0, 1]; 1 where no clip changed.

    Raises
    ------
    InputError : the changes are not one finite number for each clip.
    ConfigError : fewer than 100 permutations, or no such alternative.

    References
    ----------
    E. Edgington and P. Onghena, "Randomization Tests", 4th edition, 2007, chapter 5 (one value a pair, exact
    and drawn patterns). B. Phipson and G. Smyth, "Permutation p-values should never be zero", Statistical
    Applications in Genetics and Molecular Biology 9(1), 2010. On segments as units of speech recognition:
    L. Gillick and S. Cox, "Some statistical issues in the comparison of speech recognition algorithms",
    ICASSP 1989.
    """
    if num_permutations < 100:
        raise ConfigError(f"num_permutations must be at least 100, got {num_permutations}")
    if alternative not in ("two_sided", "greater"):
        raise ConfigError(f"alternative must be 'two_sided' or 'greater', got {alternative!r}")
    try:
        values = np.asarray(changes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"changes must be one finite number for each clip: {error}") from error
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(f"changes must be one finite number for each clip, got shape {list(values.shape)}")
    values = values[values != 0]
    if values.size == 0:
        return 1.0
    observed = float(values.sum())
    slack = _ROUNDING * float(np.abs(values).sum())
    is_exact = values.size < num_permutations.bit_length()
    patterns = 2**values.size if is_exact else num_permutations
    reached = 0
    generator = np.random.default_rng(seed)
    step = max(1, _MAX_SIGNS // values.size)
    for start in range(0, patterns, step):
        count = min(step, patterns - start)
        if is_exact:
            chosen = _all_patterns(start, count, values.size)
        else:
            chosen = _some_patterns(generator, count, values.size)
        sums = 2 * (chosen.astype(np.float64) @ values) - observed
        if alternative == "two_sided":
            reached += int(np.count_nonzero(np.abs(sums) >= abs(observed) - slack))
        else:
            reached += int(np.count_nonzero(sums >= observed - slack))
    return reached / patterns if is_exact else (1 + reached) / (1 + patterns)


def _all_patterns(start: int, count: int, size: int) -> NDArray[np.uint8]:
    """Return which values keep their sign, 0 or 1 [count, size], from one pattern's number on."""
    numbers = np.arange(start, start + count)[:, None]
    return ((numbers >> np.arange(size)) & 1).astype(np.uint8)


def _some_patterns(generator: np.random.Generator, count: int, size: int) -> NDArray[np.uint8]:
    drawn = np.frombuffer(generator.bytes(-(-count * size // 8)), np.uint8)
    return np.unpackbits(drawn, count=count * size).reshape(count, size)
