"""Say where numbers are from: the parts of "Made with" that pages share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def versions_of(run: Mapping[str, Any]) -> str:
    """Name Python and the packages of a run with their versions."""
    return ", ".join(f"{name} {version}" for name, version in run["versions"].items())


def cores_of(machine: Mapping[str, Any]) -> str:
    """Name a machine by its processor."""
    return f"{machine['num_cpus']} cores of {machine['processor']}"


def gpus_of(machine: Mapping[str, Any]) -> str:
    """Name a machine's GPUs."""
    return ", ".join(machine["gpus"]) or "no GPU"


def commit_of(run: Mapping[str, Any]) -> str:
    """Return the commit of a run, as much of it as names it."""
    return (run["commit"] or "unknown")[:12]


def made_by(run: Mapping[str, Any]) -> str:
    """Say by which command a run was made, at which commit, and when."""
    return f"`{run['command']}` at commit `{commit_of(run)}` on {run['date']}"
