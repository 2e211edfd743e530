"""Check results as annotations, which GitHub shows beside a pull request's files."""

from __future__ import annotations

from trtforge.checks.result import CheckResult, describe


def github_annotations(result: CheckResult, *, file: str | None = None) -> list[str]:
    """Write one workflow command for each finding that does not pass; print them as they are.

    Parameters
    ----------
    result : of a check.
    file : path from the repository's root that they are shown at, such as the baseline's.

    References
    ----------
    GitHub Docs, "Workflow commands for GitHub Actions": ``::error file=...,title=...::message``.
    """
    where = f"file={_property(file)}," if file else ""
    lines = [f"::error {where}title=trtforge check::{_data(fault)}" for fault in result.faults]
    for finding in result.findings:
        if finding.verdict != "pass":
            kind = "error" if finding.verdict == "fail" else "warning"
            title = _property(f"{result.candidate}: {finding.name}")
            lines.append(f"::{kind} {where}title={title}::{_data(describe(finding))}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
