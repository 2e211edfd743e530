"""``trtforge bench``: what networks cost in PyTorch, ONNX Runtime and TensorRT."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtforge.cli._options import command_line, make_console, print_path
from trtforge.cli._outputs import check_outputs

if TYPE_CHECKING:
    from trtforge.bench import BenchConfig, Subject

OPTIONS = {
    "frames": ("--frames",),
    "cases": ("--batch",),
    "contenders": ("--contenders",),
    "pythons": ("--torch-python",),
    "constructor": ("--torch",),
    "inputs": ("--inputs",),
    "rows": ("--inputs",),
    "anyway": ("--anyway",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("models", nargs="*", metavar="NETWORK", help="networks in FP32, .onnx files")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], metavar="N", help="(default: 1 8)")
    parser.add_argument(
        "--frames", type=int, nargs="+", metavar="N", help="lengths of the time axis, where that is dynamic"
    )
    parser.add_argument(
        "--contenders",
        nargs="+",
        metavar="NAME",
        help="who takes part; --list names them (default: all that this machine suits)",
    )
    parser.add_argument("--list", action="store_true", help="list the contenders and end")
    parser.add_argument(
        "--torch",
        metavar="MODULE:FUNCTION",
        help="function that makes the PyTorch module of the path of the .onnx file",
    )
    parser.add_argument(
        "--torch-path", action="append", default=[], metavar="DIR", help="folder that MODULE is looked for in"
    )
    parser.add_argument("--torch-python", metavar="PATH", help="interpreter that has PyTorch (default: this)")
    parser.add_argument(
        "--tensorrt-python", metavar="PATH", help="interpreter that has TensorRT (default: this)"
    )
    parser.add_argument("--int8", metavar="MODEL", help="the network with Q/DQ pairs, for INT8")
    parser.add_argument("--calibration-set", metavar="DIR", help="clips to quantize the network on, for INT8")
    parser.add_argument(
        "--clips",
        metavar="DIR",
        help="clips with texts, whose word errors are counted; the longest --frames must hold them",
    )
    parser.add_argument(
        "--inputs",
        metavar="NPZ",
        help="rows of input, an array of each input's name (default: noise); longer ones are cut to --frames",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each (default: 5)")
    parser.add_argument(
        "--burst-s",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds of calls in a row, a turn (default: 1)",
    )
    parser.add_argument(
        "--latency-s",
        type=float,
        default=0.5,
        metavar="S",
        help="seconds of single calls, a turn (default: 0.5)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU (default: all cores)")
    parser.add_argument(
        "--profiles",
        choices=("each", "wide"),
        default="each",
        help="engines with one profile a shape, or one for all, which builds faster (default: each)",
    )
    parser.add_argument("--optimization-level", type=int, metavar="0-5", help="of TensorRT's builder")
    parser.add_argument("--engines", metavar="DIR", help="keep engines here, and use those that are there")
    parser.add_argument("-o", "--output", metavar="JSON", default="bench.json", help="(default: bench.json)")
    parser.add_argument("--html", metavar="HTML", help="also write a page")
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("BEFORE", "AFTER"),
        help="measure nothing; set two results side by side",
    )
    parser.add_argument("--anyway", action="store_true", help="compare unlike machines and versions, too")


def run(args: argparse.Namespace) -> int:
    """Measure and print, or compare; return the exit status: 1 where nothing could be timed."""
    from trtforge.bench import CONTENDERS, compare_results, load_result
    from trtforge.errors import ConfigError

    console = make_console()
    if args.list:
        for name, contender in CONTENDERS.items():
            console.print(f"{name:<22} {contender.title}{', needs a GPU' if contender.needs_gpu else ''}")
        return 0
    if args.compare:
        from rich.markup import escape

        from trtforge.bench.compare import uncompared
        from trtforge.bench.table import comparison_table

        if args.models:
            raise ConfigError(f"--compare measures nothing, and {args.models[0]} was given to be measured")
        before, after = (load_result(path) for path in args.compare)
        console.print(comparison_table(compare_results(before, after, anyway=args.anyway)))
        for text in uncompared(before, after):
            console.print(f"[yellow]not compared: {escape(text)}[/]", soft_wrap=True)
        return 0
    if not args.models:
        raise ConfigError(
            "no network to measure", hint="trtforge bench NETWORK.onnx, or --compare A.json B.json"
        )
    if args.int8 and len(args.models) > 1:
        raise ConfigError(
            "--int8 is the quantized form of one network, and there are several",
            hint="measure them one by one, or give --calibration-set",
        )
    if args.inputs and len(args.models) > 1:
        raise ConfigError(
            "--inputs is for one network, and there are several", hint="measure them one by one"
        )
    for model in args.models:
        read = {"MODEL": model, "--int8": args.int8, "--inputs": args.inputs}
        check_outputs({**read, "--output": args.output, "--html": args.html}, read=read)
    return _measure(args, console)


def _measure(args: argparse.Namespace, console: Any) -> int:
    import tempfile

    from trtforge._files import write_text
    from trtforge._progress import Stages
    from trtforge.bench import BenchConfig, render_page, run_bench, save_result
    from trtforge.bench.contenders import select_contenders
    from trtforge.bench.table import left_out, result_tables

    config = BenchConfig(
        rounds=args.rounds,
        burst_s=args.burst_s,
        latency_s=args.latency_s,
        num_threads=args.threads,
        profiles=args.profiles,
        optimization_level=args.optimization_level,
    )
    pythons = {"torch": args.torch_python, "tensorrt": args.tensorrt_python}
    with tempfile.TemporaryDirectory(prefix="trtforge-bench-") as folder:
        subjects = [_subject(model, args, config, Path(folder), console) for model in args.models]
        with Stages(console).stage("measure") as stage:
            result = run_bench(
                subjects,
                select_contenders(args.contenders) if args.contenders else None,
                config,
                pythons={library: path for library, path in pythons.items() if path},
                folder=Path(args.engines) if args.engines else None,
                command=command_line(),
                on_part=lambda part: save_result(part, args.output),
                on_progress=stage,
            )
            stage.note(f"{len(result['rows'])} rows")
    save_result(result, args.output)
    for table in result_tables(result):
        console.print(table)
        console.print()
    for line in left_out(result):
        console.print(line, markup=False, soft_wrap=not console.is_terminal)
    if args.html:
        write_text(args.html, render_page(result))
    for path in filter(None, (args.output, args.html)):
        print_path(console, "written", path)
    return 0 if any("failed" not in row for row in result["rows"]) else 1


def _subject(
    model: str, args: argparse.Namespace, config: BenchConfig, folder: Path, console: Any
) -> Subject:
    from trtforge._progress import Stages
    from trtforge.audio import ClipSet, features_for_model
    from trtforge.bench import Case, Subject
    from trtforge.bench.input_file import rows_from_file
    from trtforge.external_data import save_model
    from trtforge.model import load_model, model_inputs
    from trtforge.pipeline import calibrate, quantize

    network, path = load_model(model), Path(model)
    quantized = Path(args.int8) if args.int8 else None
    if quantized is None and args.calibration_set:
        feeds = ClipSet.load(args.calibration_set).feeds(features_for_model(network))
        with Stages(console).stage("calibrate") as stage:
            scales = calibrate(network, feeds, on_progress=stage)
        quantized = folder / f"{path.stem}.int8.onnx"
        save_model(quantize(network, scales, rest="float32"), quantized)
        scales.save(folder / f"{path.stem}.scales.json")
    given: dict[str, Any] = {}
    if args.inputs:
        given = {
            "rows": rows_from_file(args.inputs, model_inputs(network)),
            "inputs_are": f"rows of {Path(args.inputs).name}",
        }
    return Subject(
        name=path.stem,
        model=path,
        cases=tuple(Case(batch, frames) for frames in args.frames or [None] for batch in args.batch),
        quantized=quantized,
        scales=None if args.int8 or not args.calibration_set else folder / f"{path.stem}.scales.json",
        constructor=args.torch,
        paths=tuple(args.torch_path or [str(Path.cwd())]),
        **given,
        clips=ClipSet.load(args.clips) if args.clips else None,
    )
