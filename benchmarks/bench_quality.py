"""How near quantized networks stay to FP32: trtforge, ONNX Runtime's quantizer and NVIDIA's modelopt.

``python -m benchmarks.bench_quality`` lets each contender quantize the same networks on the same data, each
in a process of its own, runs what comes out, and writes the JSON and the page's tables. With
``--modelopt-python`` an interpreter that has NVIDIA's modelopt runs that contender too.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.apart import add_options, run_apart
from benchmarks.environment import describe_run
from benchmarks.origin import cores_of, versions_of
from benchmarks.pages import fill_between, load_result, table, to_text
from benchmarks.quality.cases import CASES, RECOGNISER, Arrays, Case, save_batches
from benchmarks.quality.contenders import CONTENDERS, NO_MODELOPT
from trtforge._files import write_text
from trtforge.errors import ReportError

if TYPE_CHECKING:
    import onnx

MODULE = "benchmarks.bench_quality"
FORMAT = "trtforge.bench.quality/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/quality.json"
TRIAL = ROOT / "out/quality.json"
PAGE = ROOT / "docs/quality-against-peers.md"
METHODS = ("max", "entropy")
# Its entropy calibrator has as many bins as levels, and quantize_static cannot say otherwise: that is max.
_ONLY_MAX = ("onnxruntime", "onnxruntime_layers")
NUM_WORD_CLIPS = 96
_NAMES = {
    "trtforge": "trtforge",
    "trtforge_smoothed": "trtforge, smoothed first",
    "trtforge_matched": "trtforge, the layers that modelopt quantizes",
    "onnxruntime": "ONNX Runtime's `quantize_static`",
    "onnxruntime_layers": "ONNX Runtime's, layers that multiply alone",
    "modelopt": "NVIDIA's modelopt",
}
_OURS = ("trtforge", "trtforge_smoothed", "trtforge_matched")
_HEADING = ("Contender", "Ranges", "Layers in INT8", "Output SNR, dB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)
    if args.redraw:
        write_page(load_result(args.output or RESULT, kind=FORMAT, module=MODULE))
        return 0
    if args.join:
        result = joined([load_result(path, kind=FORMAT, module=MODULE) for path in args.join])
        write_text(args.output or RESULT, to_text(result))
        if args.output is None:
            write_page(result)
        return 0
    published = tuple(args.networks) == tuple(CASES) and tuple(args.methods) == METHODS
    output: Path = args.output or (RESULT if published else TRIAL)
    rows: list[dict[str, Any]] = []
    for network in args.networks:
        for row in measure(network, args):
            rows.append(row)
            print(json.dumps(row), flush=True)
    result = {
        "format": FORMAT,
        "rows": rows,
        "run": describe_run(MODULE, given),
        "modelopt": modelopt_versions(args.modelopt_python),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    write_text(output, to_text(result))
    if published and output == RESULT:
        write_page(result)
    print(output)
    return 0


def measure(network: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Let every contender quantize one network, and set its output against that in FP32."""
    import onnx

    case = CASES[network]
    rows = []
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        model = case.make()
        onnx.save(onnx.shape_inference.infer_shapes(model), folder / "network.onnx")
        save_batches(folder / "calibration.npz", case.calibration())
        reference = outputs(model, case.test())
        for contender in args.contenders:
            for method in args.methods:
                if contender in _ONLY_MAX and method != "max":
                    continue
                row = {"network": network, "contender": contender, "method": method}
                rows.append(row | _judge(contender, method, folder, case, reference, args))
        if network == "recogniser" and args.word_errors:
            _count_word_errors(rows, folder)
    return rows


def _judge(
    contender: str,
    method: str,
    folder: Path,
    case: Case,
    reference: list[np.ndarray[Any, Any]],
    args: argparse.Namespace,
) -> dict[str, Any]:
    import onnx

    from trtforge.graph import describe

    failed = quantize_apart(contender, method, folder, args)
    if failed is not None:
        return failed
    model = onnx.load(folder / f"{contender}-{method}.onnx")
    counts = describe(model).counts
    snr = snr_db(reference, outputs(model, case.test()))
    return {
        "int8_layers": counts.get("int8", 0),
        "layers": sum(counts.values()),
        "snr_db": round(snr, 2),
    }


def quantize_apart(
    contender: str, method: str, folder: Path, args: argparse.Namespace
) -> dict[str, Any] | None:
    """Run one contender in a process of its own; return why there is no network, or None."""
    done = run_apart("benchmarks.quality.contenders", contender, (method, str(folder)), args)
    for reason in ("nothing to smooth", NO_MODELOPT):
        if reason in done.complained:
            return {"skipped": reason}
    if done.failed is not None:
        return {"failed": done.failed.replace(str(folder), "FOLDER")}
    return done.reason


def modelopt_versions(python: str | None) -> dict[str, str]:
    """Ask the interpreter that has modelopt for the versions that moved its numbers."""
    if python is None:
        return {}
    code = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({n: m.version(n) for n in ('nvidia-modelopt', 'onnxruntime', 'onnx')}))"
    )
    done = subprocess.run(  # noqa: S603 - our own arguments
        [python, "-c", code], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def outputs(model: onnx.ModelProto, batches: Sequence[Arrays]) -> list[np.ndarray[Any, Any]]:
    """Run a network as it is written, without ONNX Runtime's fusions, and return its first output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(session.run(None, dict(batch))[0]) for batch in batches]


def snr_db(reference: Sequence[np.ndarray[Any, Any]], made: Sequence[np.ndarray[Any, Any]]) -> float:
    """Return the energy of the reference against that of the difference, over all batches, in dB."""
    pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(reference, made, strict=True)]
    noise = sum(float(np.square(a - b).sum()) for a, b in pairs)
    energy = sum(float(np.square(a).sum()) for a, _ in pairs)
    return 10 * math.log10(energy / noise) if noise else math.inf


def _count_word_errors(rows: list[dict[str, Any]], folder: Path) -> None:
    """Add to each row of the recogniser its word error rate on the test set, in percent."""
    import onnx

    from trtforge.audio import ClipSet
    from trtforge.model import load_model
    from trtforge.pipeline import evaluate

    source = load_model(RECOGNISER)
    models = {"FP32": source}
    for row in rows:
        if "snr_db" in row:
            model = onnx.load(folder / f"{row['contender']}-{row['method']}.onnx")
            # Not every contender keeps what the network says of its features and texts.
            onnx.helper.set_model_props(model, {item.key: item.value for item in source.metadata_props})
            models[f"{row['contender']} {row['method']}"] = model
    clips = ClipSet.load(ROOT / "calibration_sets/podcast_en_test").sample(NUM_WORD_CLIPS)
    found = evaluate(models, clips).overall
    assert found is not None  # noqa: S101 - the set has texts
    rates = {name: round(100 * entry.wer.rate, 3) for name, entry in found.runners.items()}
    for row in rows:
        if "snr_db" in row:
            row["wer_percent"] = rates[f"{row['contender']} {row['method']}"]
            row["wer_percent_float32"] = rates["FP32"]


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put results of single networks together, in the order of the cases.

    Raises
    ------
    ReportError : the parts were made on other machines or with other versions, or one network is in two.
    """
    rows = [row for part in parts for row in part["rows"]]
    networks = [network for part in parts for network in {row["network"]: None for row in part["rows"]}]
    if len(networks) != len(set(networks)):
        raise ReportError(f"a network is in two of the parts: {', '.join(sorted(networks))}")
    for key in ("versions", "machine"):
        if any(part["run"][key] != parts[0]["run"][key] for part in parts):
            raise ReportError(f"the parts were not made alike: other {key}", hint="run them again")
    rows.sort(key=lambda row: list(CASES).index(row["network"]))
    of_parts = {
        key: "; ".join(dict.fromkeys(part["run"][key] or "" for part in parts))
        for key in ("command", "commit")
    }
    return {**parts[0], "rows": rows, "run": {**parts[0]["run"], **of_parts}}


def shortfalls(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say where a peer's best output is nearer to FP32 than the best of trtforge."""
    said = []
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == network and "snr_db" in row]
        ours = max((row["snr_db"] for row in mine if row["contender"] in _OURS), default=-math.inf)
        for row in mine:
            if row["contender"] not in _OURS and row["snr_db"] > ours:
                said.append(
                    f"{CASES[network].title}: {_NAMES[row['contender']]}, {row['method']}, "
                    f"{row['snr_db']:.1f} dB with {row['int8_layers']} of {row['layers']} layers in INT8, "
                    f"trtforge {ours:.1f} dB"
                )
    return said


def write_page(result: dict[str, Any]) -> None:
    """Fill the tables of the page."""
    write_text(PAGE, fill_between(PAGE.read_text(encoding="utf-8"), tables(result)))


def tables(result: dict[str, Any]) -> str:
    """Return the page's tables in Markdown, one for each network, and where the numbers are from."""
    parts = []
    for network in dict.fromkeys(row["network"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["network"] == network and "skipped" not in row]
        has_words = any("wer_percent" in row for row in rows)
        heading = (*_HEADING, "WER, %") if has_words else _HEADING
        text = table(heading, [_cells(row, has_words=has_words) for row in rows], right=len(heading) - 2)
        if has_words:
            rate = next(row["wer_percent_float32"] for row in rows if "wer_percent" in row)
            text += f"\n\nIn FP32 the word error rate is {rate:.2f} %."
        parts.append(f"### {CASES[network].title}\n\n{text}")
    short = shortfalls(result["rows"])
    none = "On none of the networks: the best of trtforge is at least the best of any peer."
    verdict = "\n".join(f"* {line}" for line in short) or none
    parts.append(f"### Where a peer is nearer to FP32\n\n{verdict}")
    run, theirs = result["run"], result["modelopt"]
    made = [
        *(f"`{command}`" for command in run["command"].split("; ")),
        f"{run['date']}, {cores_of(run['machine'])}",
        versions_of(run),
    ]
    if theirs:
        made.append("modelopt with " + ", ".join(f"{name} {version}" for name, version in theirs.items()))
    return "\n\n".join([*parts, "### Made with\n\n" + "\n".join(f"* {line}" for line in made)])


def _cells(row: dict[str, Any], *, has_words: bool) -> tuple[object, ...]:
    head = (_NAMES[row["contender"]], row["method"])
    if "snr_db" not in row:
        return (*head, "", "failed", *([""] if has_words else []))
    cells = (*head, f"{row['int8_layers']} of {row['layers']}", f"{row['snr_db']:.1f}")
    return (*cells, f"{row['wer_percent']:.2f}") if has_words else cells


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=METHODS, help="how ranges are chosen"
    )
    parser.add_argument("--no-word-errors", dest="word_errors", action="store_false")
    add_options(parser, timeout_s=1800.0)
    parser.add_argument("--output", type=Path, metavar="PATH", help="the JSON")
    parser.add_argument(
        "--join",
        nargs="+",
        type=Path,
        metavar="JSON",
        help="measure nothing; join results of single networks",
    )
    parser.add_argument("--redraw", action="store_true", help="measure nothing; fill the page from the JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
