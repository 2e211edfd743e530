"""List the benchmarks, run one, or write their index: ``python -m benchmarks [NAME ...] [--index]``."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

from benchmarks.evidence import ROOT, benchmarks, fill_index, machines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    from rich.console import Console
    from rich.table import Table

    given = list(sys.argv[1:] if arguments is None else arguments)
    known = {benchmark.name: benchmark for benchmark in benchmarks()}
    if given == ["--index"]:
        fill_index()
        return 0
    if given and given[0] in known:
        sys.argv = [known[given[0]].command, *given[1:]]
        runpy.run_module(f"benchmarks.bench_{given[0]}", run_name="__main__", alter_sys=True)
        return 0
    if given and given != ["--help"]:
        print(f"error: no benchmark {given[0]!r}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    shown = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("benchmark", "measures", "run on", "page"):
        shown.add_column(heading, overflow="fold")
    for name, benchmark in known.items():
        where = dict.fromkeys(machine for path in benchmark.results for machine in machines(path))
        shown.add_row(name, benchmark.summary, "; ".join(where) or "[dim]not yet[/]", benchmark.page or "")
    console = Console(highlight=False)
    console.print(shown)
    console.print(f"\npython -m benchmarks NAME [--help]   runs one; from {ROOT}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
