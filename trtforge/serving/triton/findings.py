"""What a check of a model repository finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trtforge.errors import RepositoryError


@dataclass(frozen=True)
class Finding:
    """One thing that keeps a model from being served, or from being served safely.

    Parameters
    ----------
    rule : stable name of the rule, such as ``max-batch-size``.
    reason : what was asked and what was found.
    source : who says so: ``parser`` (the configuration's own grammar), ``triton`` (the server would
        refuse the model), ``engine`` (the configuration and the engine's manifest contradict
        each other) or ``trtforge`` (the server would take it, and it would hurt later).
    """

    rule: str
    reason: str
    source: str

    def __str__(self) -> str:
        return f"{self.rule} ({self.source}): {self.reason}"


def refuse(findings: Iterable[Finding], model: str) -> None:
    """Raise RepositoryError that lists the findings, where there are any."""
    found = tuple(findings)
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise RepositoryError(
            f"model {model!r} cannot be served: {found[0].reason}{more}",
            hint="; ".join(map(str, found)) if more else None,
        )
