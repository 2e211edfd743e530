"""Run other projects' tests, each in a process of its own."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

from tests.bundled import ROOT


def _environment(**more: str) -> dict[str, str]:
    """Return what these tests run in, but for options of pytest, which are theirs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def run_pytest(folder: Path, *words: str) -> tuple[int, str]:
    """Run a project's tests with the plugin, installed or not, and without hypothesis, slow to import."""
    installed = any(
        point.value == "trtforge.pytest_plugin" for point in importlib.metadata.entry_points(group="pytest11")
    )
    options = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    if not installed:
        options += ["-p", "trtforge.pytest_plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *words],
        cwd=folder,
        env=_environment(COLUMNS="200"),
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def run_python(folder: Path, *words: str) -> None:
    """Run a project's own script."""
    subprocess.run([sys.executable, *words], cwd=folder, env=_environment(), check=True)
