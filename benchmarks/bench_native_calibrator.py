"""Hold trtforge's calibration against TensorRT's own: scale by scale, and engine against engine.

``python -m benchmarks.bench_native_calibrator`` needs a GPU and a TensorRT with calibrators (8.6 or 10). It
calibrates three networks both ways on the same batches, and writes the JSON after every stage, so that
little is lost when it is stopped. Caches and counts go to the folder ``--evidence``; from these, ``--again``
compares the scales anew on any machine, and counts what was left out. ``--page`` fills the tables of the page
from the JSON.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import describe_run
from benchmarks.native_calibrator.calibrate import calibrating_flavor
from benchmarks.native_calibrator.compare import compare
from benchmarks.native_calibrator.evidence import Evidence
from benchmarks.native_calibrator.measure import (
    TABLES,
    Measurement,
    Options,
    compared_rows,
    with_bins,
)
from benchmarks.native_calibrator.networks import NETWORKS
from benchmarks.native_calibrator.page import tables
from benchmarks.pages import Publication, to_text
from trtforge._files import write_text
from trtforge.errors import TrtforgeError

MODULE = "benchmarks.bench_native_calibrator"
FORMAT = "trtforge.bench.native_calibrator/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/native_calibrator.json"
PAGE = ROOT / "docs/against-tensorrts-calibrator.md"
TRIAL = ROOT / "out/native_calibrator.json"
EVIDENCE = ROOT / "out/native_calibrator"
PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables)
load, fill = PUBLICATION.load, PUBLICATION.fill
PACKAGES = (
    "numpy", "onnx", "onnxruntime", "numba", "librosa", "jiwer", "tensorrt", "cuda-python", "cuda-bindings",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    # A run on a few clips must not replace published numbers unless told to.
    output: Path = args.output or (RESULT if args.limit is None else TRIAL)
    status = 0
    try:
        if args.again:
            write_text(output, to_text(compared_again(load(output), args.evidence)))
        elif not args.redraw:
            status = _measure_all(args, given, output)
        if args.page:
            write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), load(output)))
    except TrtforgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(output)
    return status


def compared_again(result: Mapping[str, Any], evidence: Path) -> dict[str, Any]:
    """Compare the scales of a result anew, from the caches and counts that its run left.

    Counts over TensorRT's bins are made and saved where the evidence lacks them.

    Parameters
    ----------
    result : the result, of which only what concerns scales is replaced.
    evidence : folder with a folder for each network.

    Raises
    ------
    ReportError : there is no evidence of a network that the result has scales of; or it lacks counts, and
        this checkout makes another network than the one measured.
    """
    merged = dict(result)
    for summary in result["networks"]:
        name = summary["network"]
        if "num_compared" in summary or (evidence / name).is_dir():
            held = Evidence.load(evidence / name)
            if held.bins is None:
                held = with_bins(held, summary)
                held.save(evidence / name)
            merged = merge(merged, name, compared_rows(name, compare(held), summary))
    return merged


def merge(
    result: Mapping[str, Any], network: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Replace one network's rows in those tables that ``rows`` has."""
    merged: dict[str, Any] = {"format": FORMAT, **{table: result.get(table, []) for table in TABLES}}
    for table, fresh in rows.items():
        merged[table] = sorted(
            [row for row in merged[table] if row["network"] != network] + list(fresh),
            key=lambda row: NETWORKS.index(row["network"]),
        )
    return merged


def portable(arguments: Sequence[str]) -> list[str]:
    """Name absolute paths from the repository's root on, and what lies outside by its last part alone."""

    def name(argument: str) -> str:
        option, equals, value = argument.rpartition("=")
        path = Path(value)
        if not path.is_absolute():
            return argument
        path = path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path(path.name)
        return f"{option}{equals}{path.as_posix()}"

    return [name(argument) for argument in arguments]


def _measure_all(args: argparse.Namespace, given: Sequence[str], output: Path) -> int:
    began = time.perf_counter()
    flavor = calibrating_flavor()
    options = Options(args.evidence, args.time_limit_s, args.limit, args.level, args.repetitions)
    run = describe_run(MODULE, portable(given), packages=PACKAGES)
    result = load(output) if output.exists() else {}
    measurements: list[Measurement] = []

    def save() -> None:
        nonlocal result
        for each in measurements:
            rows = {**each.rows, "networks": [{**row, "run": run} for row in each.rows["networks"]]}
            result = merge(result, each.name, rows)
        write_text(output, to_text(result))

    for name in args.networks:
        measurements.append(Measurement(name, flavor, options, began, save))
        measurements[-1].run()
    if not args.no_tf32_pass:
        for measurement in measurements:
            measurement.calibrate_without_tf32()
    save()
    print(f"all: {time.perf_counter() - began:.1f} s")
    for row in result["networks"]:
        print(told(row))
    return 1 if any(each.rows["networks"][0]["failed"] for each in measurements) else 0


def told(row: Mapping[str, Any]) -> str:
    """Say one network's outcome in a line."""
    said = [f"FAILED {row['failed']}"] if row.get("failed") else []
    if "num_compared" in row:
        said.append(
            f"{row['num_within']} of {row['num_compared']} scales within one bin "
            f"({row['num_named_within']} of {row['num_named']} of the network's own names), "
            f"{row['num_equal_over_bins']} of {row['num_over_bins']} equal over TensorRT's own bins, "
            f"{row['num_explained']} of those beyond a bin explained"
        )
    return f"{row['network']}: {'; '.join(said) or 'nothing compared'}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--output", type=Path, metavar="PATH", help="the JSON; other networks' rows are kept")
    parser.add_argument(
        "--evidence", type=Path, default=EVIDENCE, metavar="FOLDER", help="for caches and counts"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="at most N batches and test clips, for a trial"
    )
    parser.add_argument("--level", type=int, metavar="N", help="optimization level (default: the library's)")
    parser.add_argument("--repetitions", type=int, default=300, metavar="N", help="turns of each engine")
    parser.add_argument(
        "--time-limit-s", type=float, default=225.0, metavar="S", help="leave out what can be"
    )
    parser.add_argument("--no-tf32-pass", action="store_true", help="do not calibrate again without TF32")
    parser.add_argument("--again", action="store_true", help="measure nothing; compare the scales anew")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; use the JSON that is there")
    parser.add_argument("--page", action="store_true", help="fill the tables of the page")
    return parser


if __name__ == "__main__":
    sys.exit(main())
