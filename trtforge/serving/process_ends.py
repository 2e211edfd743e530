"""How processes with models ended, counted where it outlives them."""

from __future__ import annotations

from collections.abc import Mapping

from trtforge.serving.metrics import PROCESS_ENDS

# What a process exits with, as sysexits.h has them: EX_CONFIG and EX_DATAERR where starting again would not
# help, EX_TEMPFAIL and EX_IOERR where it would.
BAD_SETTINGS, CORRUPT_ENGINE, NOT_NOW, LOST = 78, 65, 75, 74
HOPELESS = (BAD_SETTINGS, CORRUPT_ENGINE)

_REASONS: Mapping[int, str] = {
    LOST: "device_lost",
    CORRUPT_ENGINE: "corrupt_engine",
    BAD_SETTINGS: "settings",
    NOT_NOW: "load",
}


class ProcessEnds:
    """Counts ends by their reason; a process cannot report its own to who asks every few seconds."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys((*_REASONS.values(), "killed", "hung", "failed"), 0)

    def note(self, status: int, *, hung: bool) -> None:
        """Count an end.

        Parameters
        ----------
        status : of the process, negative for a signal.
        hung : whether it was killed because it answered no more.
        """
        reason = "hung" if hung else "killed" if status < 0 else _REASONS.get(status, "failed")
        self._counts[reason] += 1

    def page(self) -> bytes:
        """Return the counts in Prometheus' text format."""
        name = PROCESS_ENDS.full_name
        lines = [f"# HELP {name} {PROCESS_ENDS.meaning}", f"# TYPE {name} counter"]
        lines += [f'{name}{{reason="{reason}"}} {count}.0' for reason, count in self._counts.items()]
        return ("\n".join(lines) + "\n").encode()
