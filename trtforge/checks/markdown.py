"""Check results in Markdown, for a job's summary."""

from __future__ import annotations

from trtforge.checks.result import WORDS, CheckResult, amount, describe, value


def markdown_summary(result: CheckResult) -> str:
    """Write the verdict, a table of the findings, and the clips that got worse, in GitHub's Markdown."""
    config = result.config
    lines = [f"### {_cell(result.candidate)}: {WORDS[result.verdict]}", ""]
    lines += [f"* **FAIL**: {_cell(fault)}" for fault in result.faults]
    if result.findings:
        lines += [
            "| | verdict | now | baseline | worse by | allowed | must notice | values |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
        ]
        for finding in result.findings:
            limit = amount(finding.budget + finding.resolution, finding.unit)
            cells = (
                _cell(finding.name),
                f"**{WORDS[finding.verdict]}**",
                value(finding, finding.candidate),
                value(finding, finding.baseline),
                amount(finding.change, finding.unit),
                amount(finding.budget, finding.unit),
                limit,
                str(finding.num_values),
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", *(f"* {_cell(describe(finding))}" for finding in result.findings)]
    lines += [f"* {_cell(note)}" for note in result.notes]
    lines.append(
        f"* At most {100 * config.false_alarm_rate:g} % of checks fail where nothing exceeds its budget; "
        f"at most {100 * config.miss_rate:g} % let pass what must be noticed."
    )
    if result.worse_clips:
        lines += ["", "| clip | errors then | now | said | heard |", "|---|---:|---:|---|---|"]
        lines += [
            f"| {_cell(clip.clip_id)} | {clip.baseline_errors} | {clip.errors} | {_cell(clip.reference)} | "
            f"{_cell(clip.hypothesis)} |"
            for clip in result.worse_clips
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Keep text from being read as a table's edge, as a tag, as emphasis or as mathematics."""
    text = " ".join(text.split())
    for letter in "\\`*_~|[]":
        text = text.replace(letter, "\\" + letter)
    # GitHub takes what lies between two dollars for a formula, escaped or not.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("$", "<span>$</span>")
