"""The outcome of a check, and what a person is told of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from trtforge.checks.config import CheckConfig
from trtforge.checks.decision import Finding, Unit, Verdict
from trtforge.errors import AccuracyError

WORDS = {"pass": "pass", "fail": "FAIL", "undecided": "not enough to tell"}
EXIT_STATUS: dict[Verdict, int] = {"pass": 0, "fail": 1, "undecided": 3}


@dataclass(frozen=True)
class WorseClip:
    """A clip with more word errors than in the baseline.

    Parameters
    ----------
    clip_id : the clip's id.
    baseline_errors : word errors then.
    errors : word errors now.
    reference : what was said, normalised.
    hypothesis : what the candidate made of it, normalised.
    """

    clip_id: str
    baseline_errors: int
    errors: int
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Parameters
    ----------
    candidate : name of the runner that was judged.
    findings : one for each quantity.
    faults : what rules the candidate out whatever its figures, such as values that are not finite.
    worse_clips : clips with the most word errors added since the baseline, the worst first.
    notes : what was not judged, and why.
    config : budgets and error rates.
    """

    candidate: str
    findings: tuple[Finding, ...]
    faults: tuple[str, ...] = ()
    worse_clips: tuple[WorseClip, ...] = ()
    notes: tuple[str, ...] = ()
    config: CheckConfig = field(default_factory=CheckConfig)

    @property
    def verdict(self) -> Verdict:
        """``fail`` where anything fails, else ``undecided`` where anything is, else ``pass``."""
        verdicts = [finding.verdict for finding in self.findings]
        if self.faults or "fail" in verdicts:
            return "fail"
        return "undecided" if "undecided" in verdicts else "pass"

    @property
    def exit_status(self) -> int:
        """0 for pass, 1 for fail, 3 for not enough to tell."""
        return EXIT_STATUS[self.verdict]

    def __str__(self) -> str:
        lines = [f"{self.candidate}: {WORDS[self.verdict]}"]
        lines += [f"  {WORDS['fail']}: {fault}" for fault in self.faults]
        lines += [f"  {WORDS[finding.verdict]}: {describe(finding)}" for finding in self.findings]
        lines += [f"  note: {note}" for note in self.notes]
        if self.verdict == "fail":
            for clip in self.worse_clips[:3]:
                lines.append(f"  {clip.clip_id}: {clip.baseline_errors} errors then, {clip.errors} now")
                lines += [f"    said   {clip.reference}", f"    heard  {clip.hypothesis or '(nothing)'}"]
        return "\n".join(lines)

    def require(self) -> None:
        """Insist on a pass.

        Raises
        ------
        AccuracyError : the check failed, or there is not enough to tell.
        """
        if self.verdict == "fail":
            raise AccuracyError(
                str(self),
                hint="mend the candidate; if the change is meant, update the baseline and review it",
            )
        if self.verdict == "undecided":
            raise AccuracyError(str(self), hint="add clips or runs, or ask for a coarser resolution")

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "format": "trtforge.check/1",
            "candidate": self.candidate,
            "verdict": self.verdict,
            "findings": [{**finding.to_json(), "message": describe(finding)} for finding in self.findings],
            "faults": list(self.faults),
            "notes": list(self.notes),
            "worse_clips": [asdict(clip) for clip in self.worse_clips],
            "config": asdict(self.config),
        }


def describe(finding: Finding) -> str:
    """Say in one sentence what was found and why the verdict is what it is."""
    unit = finding.unit
    text = (
        f"{finding.name} {value(finding, finding.candidate)}, baseline {value(finding, finding.baseline)}: "
        f"{amount(abs(finding.change), unit)} {'better' if finding.change < 0 else 'worse'}, "
        f"{amount(finding.budget, unit)} allowed, "
    )
    things = "runs" if unit == "%" else "clips"
    limit = amount(finding.budget + finding.resolution, unit)
    if finding.verdict == "fail":
        return text + f"p = {finding.p_worse:.2g} on {finding.num_values} {things}"
    if finding.verdict == "pass":
        return text + f"less than {limit} on {finding.num_values} {things} (p = {finding.p_within:.2g})"
    needed = ""
    if finding.num_needed is not None and finding.num_needed > finding.num_values:
        needed = f"; an unchanged one needs about {finding.num_needed}"
    return text + f"{finding.num_values} {things} do not tell it from {limit}{needed}"


def value(finding: Finding, number: float) -> str:
    """Write a quantity itself: a rate in percent, an SNR in dB, a time as multiple of the reference's."""
    if finding.unit == "points":
        return f"{100 * number:.2f} %"
    return f"{number:.1f} dB" if finding.unit == "dB" else f"{number:.3f} x reference"


def amount(number: float, unit: Unit) -> str:
    """Write a change, a budget or a resolution in its unit."""
    return f"{number if unit == 'dB' else 100 * number:.2f} {unit}"
