"""Measure what typing in FP16, BF16 and less costs, and whether TensorRT-RTX builds what comes of it.

``python -m benchmarks.bench_typed_graphs`` types each network in FP16 and BF16, and in FP16 with INT8, FP8 or
narrow weights, runs it beside itself in FP32, builds it without a GPU, then writes the JSON and the page's
tables. ``--redraw`` makes the tables anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import describe_run
from benchmarks.pages import Publication
from benchmarks.typed_graphs.contenders import CONTENDERS
from benchmarks.typed_graphs.measure import measure_network
from benchmarks.typed_graphs.page import tables

MODULE = "benchmarks.bench_typed_graphs"
FORMAT = "trtforge.bench.typed_graphs/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/typed_graphs.json"
PAGE = ROOT / "docs/typed-graphs.md"
PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables)
load, fill = PUBLICATION.load, PUBLICATION.fill
_PACKAGES = ("numpy", "onnx", "onnxruntime", "tensorrt-rtx")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    names = args.network or list(CONTENDERS)
    return PUBLICATION.run(args, lambda _: {**measure(names), "run": _run(given)})


def measure(names: Sequence[str]) -> dict[str, Any]:
    """Measure these networks, each in every precision."""
    rows = []
    for name in names:
        print(name, flush=True)
        rows += measure_network(name, CONTENDERS[name]())
    return {"format": FORMAT, "rows": rows}


def _run(given: Sequence[str]) -> dict[str, Any]:
    return describe_run(MODULE, given, packages=_PACKAGES)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--network", action="append", choices=tuple(CONTENDERS), help="only these")
    PUBLICATION.add_options(parser, has_limit=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
