"""What Whisper may say next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trtforge.speech.generation import Choice
from trtforge.speech.whisper.vocabulary import WhisperVocabulary

# What of the masks is for what.
NOTHING_FORBIDDEN, _TEXT, _FIRST_TEXT, _ANY, _FIRST_TIME, _TEXT_AND_STOP, _TIME = range(7)
NUM_MASKS = 7
_AT_FIRST, _IN_TEXT = Choice(_FIRST_TEXT), Choice(_TEXT)


@dataclass(frozen=True)
class WhisperRules:
    """Suppressed symbols and, where times are written, their order.

    Times come in pairs but at the end, never go back, and come first; where the times together are likelier
    than any other symbol, a time must come.

    Parameters
    ----------
    vocabulary : the checkpoint's.
    num_symbols : size of the network's vocabulary.
    timestamps : whether times are written.

    References
    ----------
    A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, section 4.5.
    """

    vocabulary: WhisperVocabulary
    num_symbols: int
    timestamps: bool = False

    @property
    def masks(self) -> tuple[frozenset[int], ...]:
        """The sets of forbidden symbols; the first is empty, for scores as the network gives them."""
        known = self.vocabulary
        always = frozenset(known.suppressed)
        first = always | frozenset(known.suppressed_first)
        times = frozenset(range(known.first_time, self.num_symbols))
        before_times = frozenset(range(known.first_time))
        unannounced = always | {known.no_timestamps}
        too_late: frozenset[int] = frozenset()
        if known.max_initial_time is not None:
            too_late = frozenset(range(known.first_time + known.max_initial_time + 1, self.num_symbols))
        return (
            frozenset(),
            always,
            first,
            unannounced,
            first | before_times | too_late,
            unannounced | times,
            unannounced | frozenset(range(known.stop)),
        )

    def allow(self, generated: Sequence[int]) -> Choice:
        """Say what is forbidden after the symbols generated so far."""
        if not self.timestamps:
            return _IN_TEXT if generated else _AT_FIRST
        if not generated:
            return Choice(mask=_FIRST_TIME)
        first_time = self.vocabulary.first_time
        is_time = generated[-1] >= first_time
        was_time = len(generated) < 2 or generated[-2] >= first_time
        mask = _ANY if not is_time else _TEXT_AND_STOP if was_time else _TIME
        # Times never go back, so the one found first from the end is the greatest.
        for last in reversed(generated):
            if last >= first_time:
                # The second time of a pair may be that of the first.
                end = last if is_time and not was_time else last + 1
                return Choice(mask, first_time, end, first_time)
        return Choice(mask, group_from=first_time)
