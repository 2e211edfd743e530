"""Run a contender of a benchmark in a process of its own, and in an interpreter of its own if need be."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Apart:
    """What became of a process.

    Parameters
    ----------
    said : its standard output, where it ended well.
    skipped : why it was not run, or None.
    failed : why it did not end well, in one line, or None.
    complained : its standard error.
    """

    said: str = ""
    skipped: str | None = None
    failed: str | None = None
    complained: str = ""

    @property
    def reason(self) -> dict[str, str] | None:
        """Why there is no result, as rows of results have it; None where there is one."""
        if self.skipped is not None:
            return {"skipped": self.skipped}
        return {"failed": self.failed} if self.failed is not None else None


def add_options(parser: argparse.ArgumentParser, *, timeout_s: float) -> None:
    """Take the limit of a process, and the interpreter of modelopt."""
    parser.add_argument(
        "--timeout-s", type=float, default=timeout_s, help="limit of one contender, in seconds"
    )
    parser.add_argument("--modelopt-python", metavar="PATH", help="interpreter that has nvidia-modelopt")


def run_apart(module: str, contender: str, words: Sequence[str], args: argparse.Namespace) -> Apart:
    """Run ``python -m module contender words`` at the repository's root.

    Parameters
    ----------
    module : dotted name.
    contender : its first argument; ``modelopt`` runs in the interpreter that ``args`` names.
    words : further arguments.
    args : what the options of `add_options` took.
    """
    python = args.modelopt_python if contender == "modelopt" else sys.executable
    if python is None:
        return Apart(skipped="no interpreter with modelopt was given (--modelopt-python)")
    command = [python, "-m", module, contender, *words]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=args.timeout_s
        )
    except subprocess.TimeoutExpired:
        return Apart(failed=f"not done after {args.timeout_s:g} s")
    if done.returncode == 0:
        return Apart(said=done.stdout)
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("hint:")]
    said = lines[-1] if lines else f"ended with status {done.returncode}"
    return Apart(failed=said.replace(str(ROOT), "."), complained=done.stderr)


def in_torch(python: str | None, module: str, *arguments: str, given: str = "") -> str:
    """Run ``python -m module arguments`` at the repository's root, and return what it prints.

    Parameters
    ----------
    python : the interpreter that has PyTorch; None for this one.
    module : dotted name.
    arguments : its arguments.
    given : its standard input.

    Raises
    ------
    subprocess.CalledProcessError : it did not end well; its standard error went to ours.
    """
    done = subprocess.run(  # noqa: S603 - our own arguments
        [python or sys.executable, "-m", module, *arguments],
        input=given, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return done.stdout
