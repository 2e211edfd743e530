"""What the networks of the documentation cost in PyTorch and TensorRT, on one machine, in one page.

``python -m benchmarks.bench_speed --networks NAME`` measures some of them and adds them to the JSON that is
there; then it draws the plots and fills the tables. On a GPU, PyTorch in FP16, eager and compiled with CUDA
graphs, and TensorRT in FP32, TF32, FP16 and INT8 take turns; without one, what runs on a CPU.

PyTorch and TensorRT may be in two interpreters: ``--torch-python`` names the other one. ``--build-only``
builds engines and measures nothing, for networks that take long.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.page import fill_page, fill_readme
from benchmarks.speed.subjects import BATCHES, ROOT, TITLES, make_subject
from trtforge._files import write_text
from trtforge._progress import Stages
from trtforge.bench import BenchConfig, load_result, merge, render_page, run_bench, save_result
from trtforge.bench.contenders import CONTENDERS, default_contenders, select_contenders
from trtforge.bench.member import build_engine
from trtforge.bench.plots import draw_throughput
from trtforge.bench.table import left_out, result_tables
from trtforge.errors import TrtforgeError
from trtforge.nvidia import gpus

MODULE = "benchmarks.bench_speed"
RESULT = ROOT / "benchmarks/results/speed.json"
PLOT = ROOT / "docs/images/speed.svg"
PAGE = ROOT / "docs/benchmarks.md"
README = ROOT / "README.md"
WORK = ROOT / "out/speed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    from rich.console import Console

    given = list(sys.argv[1:] if arguments is None else arguments)
    args, console = _parser().parse_args(given), Console(highlight=False)
    try:
        if args.merge:
            save_result(merge([load_result(path) for path in args.merge]), args.output)
        elif not args.redraw:
            result = _measure(args, given, console)
            if result is None:
                return 0
            parts = [load_result(args.output)] if args.output.is_file() and not args.fresh else []
            save_result(merge([*parts, result]), args.output)
            for table in result_tables(result):
                console.print(table)
                console.print()
            console.print(*left_out(result), sep="\n", markup=False, soft_wrap=True)
        publish(args.output)
    except TrtforgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def publish(output: Path) -> None:
    """Draw the plot and the HTML page beside a result; of the published one, also fill the pages."""
    result = load_result(output)
    published = output.resolve() == RESULT.resolve()
    write_text(PLOT if published else output.with_suffix(".svg"), draw_throughput(result))
    write_text(WORK / "speed.html" if published else output.with_suffix(".html"), render_page(result))
    if published:
        write_text(PAGE, fill_page(PAGE.read_text(encoding="utf-8"), result))
        write_text(README, fill_readme(README.read_text(encoding="utf-8"), result))


def _measure(args: argparse.Namespace, given: Sequence[str], console: Any) -> dict[str, Any] | None:
    config = BenchConfig(
        rounds=args.rounds,
        latency_s=args.latency_s,
        burst_s=args.burst_s,
        settle_s=5.0,
        profiles=args.profiles,
        optimization_level=args.optimization_level,
        accuracy_rows=2,
    )
    pythons = {"torch": args.torch_python, "tensorrt": args.tensorrt_python}
    known = {library: path for library, path in pythons.items() if path}
    contenders = (
        select_contenders(args.contenders) if args.contenders else default_contenders(has_gpu=bool(gpus()))
    )
    args.work.mkdir(parents=True, exist_ok=True)
    stages, subjects = Stages(console), []
    for name in args.networks:
        with stages.stage(f"prepare {name}"):
            batches = tuple(args.batches)
            subjects.append(
                make_subject(name, args.work, config=config, batches=batches, num_clips=args.num_clips)
            )
    if args.build_only:
        for subject in subjects:
            for contender in contenders:
                if contender.library == "tensorrt":
                    with stages.stage(f"{subject.name}, {contender.title}") as stage:
                        python = known.get("tensorrt")
                        built = build_engine(
                            subject, contender, subject.specs()[0], config, python=python, folder=args.work
                        )
                        stage.note(f"built in {built['build_s']:.0f} s")
        return None
    with stages.stage("measure") as stage:
        return run_bench(
            subjects,
            contenders,
            config,
            pythons=known,
            folder=args.work,
            command=shlex.join(["python", "-m", MODULE, *given]),
            note=lambda text: console.print(f"[dim]{text}[/]"),
            on_progress=stage,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=tuple(TITLES), default=list(TITLES))
    parser.add_argument("--contenders", nargs="+", choices=tuple(CONTENDERS))
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES), metavar="N")
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="turns of each (default: 4)")
    parser.add_argument("--latency-s", type=float, default=0.3, metavar="S", help="single calls, a turn")
    parser.add_argument("--burst-s", type=float, default=1.0, metavar="S", help="calls in a row, a turn")
    parser.add_argument("--profiles", choices=("each", "wide"), default="each")
    parser.add_argument("--optimization-level", type=int, metavar="0-5")
    parser.add_argument("--num-clips", type=int, metavar="N", help="clips that word errors are counted on")
    parser.add_argument("--torch-python", metavar="PATH", help="interpreter that has PyTorch")
    parser.add_argument("--tensorrt-python", metavar="PATH", help="interpreter that has TensorRT")
    parser.add_argument("--work", type=Path, default=WORK, help="networks and engines are kept here")
    parser.add_argument("--output", type=Path, default=RESULT, help="the JSON")
    parser.add_argument("--fresh", action="store_true", help="begin the JSON anew")
    parser.add_argument("--build-only", action="store_true", help="build engines, measure nothing")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="JSON", help="put parts together")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; use the JSON that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
