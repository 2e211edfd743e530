"""Time and peak memory of calibration, against plain inference over the same windows.

``python -m benchmarks.bench_collection`` runs each contender in a process of its own, one after another, and
writes the JSON and the page's tables; rows of networks that are not measured stay. With ``--modelopt-python``
an interpreter that has NVIDIA's modelopt runs that contender too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.apart import add_options, run_apart
from benchmarks.collection.contenders import CONTENDERS
from benchmarks.collection.inputs import NETWORKS, has_attention
from benchmarks.environment import describe_run
from benchmarks.origin import cores_of, versions_of
from benchmarks.pages import fill_between, load_result, table, to_text
from trtforge._files import write_text

MODULE = "benchmarks.bench_collection"
FORMAT = "trtforge.bench.collection/2"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/collection.json"
TRIAL = ROOT / "out/collection.json"
PAGE = ROOT / "docs/how-fast.md"
WINDOWS = (8, 32, 128, 512)
LONG_S = 45.0
TITLES = {
    "whisper_tiny_encoder": "An encoder of Whisper-tiny's shape, windows of 30 s",
    "recogniser": "The bundled recogniser, windows of 30 s",
}
_NAMES = {
    "plain": "inference alone",
    "trtforge": "trtforge",
    "trtforge_no_attention": "trtforge, attention products left out",
    "onnxruntime": "ONNX Runtime's entropy calibrator",
    "modelopt": "NVIDIA's modelopt",
}
_HEADING = ("Windows", "Contender", "Tensors", "Time, s", "Ratio", "Choosing, s", "Memory above, MB")
_SAME_TENSORS = "the network has no attention products, so that the tensors would be the same"
# What ONNX Runtime's calibrator holds for each window until the end, measured at 8 windows; it doubles when
# the windows are joined.
_HELD_BYTES = {"whisper_tiny_encoder": 750_000_000, "recogniser": 60_000_000}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    if args.redraw:
        there = args.output or RESULT
        result = load_result(there, kind=FORMAT, module=MODULE)
        result = {**result, "rows": completed(result["rows"], args.why_not)}
        write_text(there, to_text(result))
        write_page(result)
        return 0
    published = tuple(args.windows) == WINDOWS and args.contenders == list(CONTENDERS)
    output: Path = args.output or (RESULT if published else TRIAL)
    before = load_result(output, kind=FORMAT, module=MODULE) if output.is_file() else {"rows": [], "runs": {}}
    rows = [row for row in before["rows"] if row["network"] not in args.networks]
    runs = {name: run for name, run in before["runs"].items() if name not in args.networks}
    for network in args.networks:
        runs[network] = describe_run(MODULE, given)
        for num_windows in args.windows:
            measured = compared(measure(network, num_windows, args))
            rows += measured
            for row in measured:
                print(json.dumps(row), flush=True)
    rows.sort(key=lambda row: NETWORKS.index(row["network"]))
    result = {"format": FORMAT, "rows": completed(rows, args.why_not), "runs": runs}
    write_text(output, to_text(result))
    if output == RESULT:
        write_page(result)
    print(output)
    return 0


def write_page(result: dict[str, Any]) -> None:
    """Fill the tables of the page."""
    write_text(PAGE, fill_between(PAGE.read_text(encoding="utf-8"), tables(result)))


def measure(network: str, num_windows: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run all contenders in turns, ``args.repeats`` times; return medians, or why there are none.

    A contender that takes longer than `LONG_S` runs once.
    """
    rows: dict[str, dict[str, Any]] = {}
    runs: dict[str, list[dict[str, float]]] = {}
    for turn in range(args.repeats):
        for contender in args.contenders:
            mine = runs.setdefault(contender, [])
            if contender in rows or (turn and mine[0]["run_s"] > LONG_S):
                continue
            found = run_once(contender, network, num_windows, args)
            if "run_s" in found:
                mine.append(found)
            else:
                rows[contender] = found
    for contender, mine in runs.items():
        if mine and contender not in rows:
            medians = {key: round(statistics.median(run[key] for run in mine), 4) for key in mine[0]}
            rows[contender] = {**medians, "runs": len(mine)}
    heads = {"network": network, "windows": num_windows}
    return [{**heads, "contender": contender, **rows[contender]} for contender in args.contenders]


def run_once(contender: str, network: str, num_windows: int, args: argparse.Namespace) -> dict[str, Any]:
    """Run one contender in a process of its own; return its numbers, or why there are none."""
    needed = 2 * _HELD_BYTES[network] * num_windows
    if contender == "onnxruntime" and needed > 0.9 * _memory_bytes():
        return {"skipped": f"holds all windows at once: about {needed / 1e9:.0f} GB"}
    if contender == "trtforge_no_attention" and not has_attention(network):
        return {"skipped": _SAME_TENSORS}
    done = run_apart("benchmarks.collection.contenders", contender, (network, str(num_windows)), args)
    if done.reason is not None:
        return dict(done.reason)
    found: dict[str, Any] = json.loads(done.said.strip().splitlines()[-1])
    return found


def compared(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each row its time and memory against plain inference over the same windows."""
    plain = next((row for row in rows if row["contender"] == "plain" and "run_s" in row), None)
    if plain is None:
        return list(rows)
    return [
        {
            **row,
            "ratio": round(row["run_s"] / plain["run_s"], 3),
            "ratio_with_choosing": round((row["run_s"] + row.get("choose_s", 0)) / plain["run_s"], 3),
            "bytes_above_plain": row["peak_bytes"] - plain["peak_bytes"],
        }
        if "run_s" in row
        else row
        for row in rows
    ]


def completed(rows: Sequence[dict[str, Any]], why_not: str = "not run") -> list[dict[str, Any]]:
    """Give each contender of a network a row at each number of windows.

    Where nothing was run, it has the reason; what was measured twice of the same tensors is given once.
    """
    found = {(row["network"], row["windows"], row["contender"]): row for row in rows}
    result = []
    for network, windows in dict.fromkeys((row["network"], row["windows"]) for row in rows):
        asked = {row["contender"] for row in rows if row["network"] == network}
        for contender in (name for name in CONTENDERS if name in asked):
            head = {"network": network, "windows": windows, "contender": contender}
            row = found.get((network, windows, contender), {**head, "skipped": why_not})
            if contender == "trtforge_no_attention" and "run_s" in row and not has_attention(network):
                row = {**head, "skipped": _SAME_TENSORS}
            result.append(row)
    return result


def tables(result: dict[str, Any]) -> str:
    """Return the page's tables in Markdown, one for each network, and where the numbers are from."""
    parts = []
    for network in dict.fromkeys(row["network"] for row in result["rows"]):
        rows = [_cells(row) for row in result["rows"] if row["network"] == network and "run_s" in row]
        mine = [row for row in result["rows"] if row["network"] == network]
        told = (table(_HEADING, rows, right=5), _against_onnxruntime(mine), _left_out(mine))
        parts.append("\n\n".join([f"### {TITLES[network]}", *filter(None, told)]))
    made = [f"* {TITLES[network]}: {_origin(result['runs'][network])}" for network in result["runs"]]
    return "\n\n".join([*parts, "### Made with\n\n" + "\n".join(made)])


def _against_onnxruntime(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how much longer ONNX Runtime takes, counting alone and with choosing."""
    found = {(row["windows"], row["contender"]): row for row in rows if "run_s" in row}
    said = []
    for windows in dict.fromkeys(row["windows"] for row in rows):
        ours, theirs = (found.get((windows, name)) for name in ("trtforge", "onnxruntime"))
        if ours and theirs:
            counting = theirs["run_s"] / ours["run_s"]
            both = (theirs["run_s"] + theirs["choose_s"]) / (ours["run_s"] + ours["choose_s"])
            said.append(f"{counting:.1f} and {both:.1f} times at {windows} windows")
    if not said:
        return ""
    return (
        "ONNX Runtime's calibrator takes, against trtforge on the same tensors, counting alone and with "
        f"choosing: {'; '.join(said)}."
    )


def _left_out(rows: Sequence[Mapping[str, Any]]) -> str:
    """List who was not measured, with the reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if "run_s" not in row:
            why = row.get("skipped") or f"failed: {row['failed']}"
            reasons.setdefault((_NAMES[row["contender"]], why), []).append(str(row["windows"]))
    lines = [f"* {name}, {', '.join(windows)} windows: {why}" for (name, why), windows in reasons.items()]
    return "\n".join(["Left out:", "", *lines]) if lines else ""


def _origin(run: Mapping[str, Any]) -> str:
    return f"`{run['command']}`, {run['date']}, {cores_of(run['machine'])}; {versions_of(run)}"


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["windows"],
        _NAMES[row["contender"]],
        row.get("num_tensors", ""),
        f"{row['run_s']:.1f}",
        f"{row['ratio']:.2f}",
        f"{row['choose_s']:.1f}" if "choose_s" in row else "",
        f"{row['bytes_above_plain'] / 1e6:.0f}",
    )


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=WINDOWS, metavar="N")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--repeats", type=int, default=1, help="most runs of each contender; medians count")
    add_options(parser, timeout_s=3600.0)
    parser.add_argument("--output", type=Path, metavar="PATH", help="the JSON")
    parser.add_argument("--why-not", default="not run", metavar="TEXT", help="reason on rows not run")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; fill the page from the JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
