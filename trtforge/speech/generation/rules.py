"""Which symbols may come next: small values that the decoder network applies itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ConfigError


class Choice(NamedTuple):
    """What one row forbids in one step; the network applies it to the scores before it takes the best.

    Parameters
    ----------
    mask : index of a set of forbidden symbols among the rules' masks.
    ban_from, ban_to : symbols from one up to, without, the other are forbidden too.
    group_from : where the symbols from here on are together likelier than any one symbol before, those before
        are forbidden; 0 for no such rule.
    """

    mask: int = 0
    ban_from: int = 0
    ban_to: int = 0
    group_from: int = 0


class Rules(Protocol):
    """What may follow what.

    Attributes
    ----------
    masks : the sets of forbidden symbols that a `Choice` points at. They are the decoder's for as long as it
        lives: all rows take their choices from the same.
    """

    @property
    def masks(self) -> tuple[frozenset[int], ...]:
        """The sets of forbidden symbols."""
        ...

    def allow(self, generated: Sequence[int]) -> Choice:
        """Say what is forbidden after the symbols generated so far, the prompt not among them."""
        ...


@dataclass(frozen=True)
class Suppress:
    """Forbid some symbols always, and some as the first.

    Parameters
    ----------
    always, first : symbols.
    """

    always: frozenset[int] = frozenset()
    first: frozenset[int] = frozenset()

    @property
    def masks(self) -> tuple[frozenset[int], ...]:
        """What is forbidden later, and what at first."""
        return (self.always, self.always | self.first) if self.first else (self.always,)

    def allow(self, generated: Sequence[int]) -> Choice:
        """Forbid the first symbols' set at the start, and the other afterwards."""
        return Choice(mask=1 if self.first and not generated else 0)


@dataclass(frozen=True)
class AllOf:
    """What two rules forbid, together.

    Parameters
    ----------
    one, other : the rules. At most one of them may use ranges or groups in the same step.
    """

    one: Rules
    other: Rules

    @property
    def masks(self) -> tuple[frozenset[int], ...]:
        """The union of each pair of sets."""
        return tuple(mask | further for mask in self.one.masks for further in self.other.masks)

    def allow(self, generated: Sequence[int]) -> Choice:
        """Join both choices.

        Raises
        ------
        ConfigError : both forbid a range, or both compare a group.
        """
        one, other = self.one.allow(generated), self.other.allow(generated)
        if (one.ban_to and other.ban_to) or (one.group_from and other.group_from):
            raise ConfigError(f"both {self.one} and {self.other} forbid a range in the same step")
        return Choice(
            one.mask * len(self.other.masks) + other.mask,
            one.ban_from or other.ban_from,
            one.ban_to or other.ban_to,
            one.group_from or other.group_from,
        )


def mask_array(masks: Sequence[frozenset[int]], num_symbols: int) -> NDArray[np.float32]:
    """Return the sets as the network takes them: float32 [masks, symbols], 1 where forbidden.

    Raises
    ------
    ConfigError : a set names a symbol that the network does not have.
    """
    array = np.zeros((len(masks), num_symbols), np.float32)
    for index, mask in enumerate(masks):
        symbols = np.fromiter(mask, np.int64, len(mask))
        wrong = symbols[(symbols < 0) | (symbols >= num_symbols)]
        if wrong.size:
            raise ConfigError(
                f"symbols lie in 0 to {num_symbols - 1}, a rule forbids {sorted(wrong.tolist())[:5]}"
            )
        array[index, symbols] = 1
    return array
