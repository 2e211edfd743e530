"""What the networks of the documentation cost in PyTorch and TensorRT, on one machine, in one page.

``python -m benchmarks.bench_speed --networks NAME`` measures some of them and adds them to the JSON that is
there, after each batch size, so that a run that is cut short leaves something; then it draws the plots and
fills the tables. On a GPU, PyTorch in FP16, eager and compiled with CUDA graphs, and TensorRT in FP32, TF32,
FP16 and INT8 take turns; without one, what runs on a CPU.

PyTorch and TensorRT may be in two interpreters: ``--torch-python`` names the other one. ``--build-only``
builds engines and measures nothing, for networks that take long.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.environment import command_line
from benchmarks.speed.page import fill_page, fill_readme
from benchmarks.speed.subjects import BATCHES, ROOT, TITLES, make_subject
from trtforge._files import write_text
from trtforge._progress import Stages
from trtforge.bench import (
    BenchConfig,
    Case,
    Contender,
    Subject,
    load_result,
    merge,
    render_page,
    run_bench,
    save_result,
)
from trtforge.bench.contenders import CONTENDERS, default_contenders, select_contenders
from trtforge.bench.member import build_engine
from trtforge.bench.plots import draw_throughput
from trtforge.bench.table import left_out, result_tables
from trtforge.errors import ReportError, TrtforgeError
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
            parts = [load_result(path) for path in args.merge]
            save_result(merge(parts, anyway=args.anyway), args.output)
        elif not args.redraw:
            config, contenders, pythons, subjects = _prepare(args, console)
            if args.build_only:
                return _build(args.work, config, contenders, pythons.get("tensorrt"), subjects, console)
            add = _Output(args.output, fresh=args.fresh)
            with Stages(console).stage("measure") as stage:
                result = run_bench(
                    subjects,
                    contenders,
                    config,
                    pythons=pythons,
                    folder=args.work,
                    command=command_line(MODULE, given),
                    note=lambda text: console.print(f"[dim]{text}[/]"),
                    on_part=add,
                    on_progress=stage,
                )
            for table in result_tables(result):
                console.print(table)
                console.print()
            console.print(*left_out(result), sep="\n", markup=False, soft_wrap=True)
            add(result)
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


class _Output:
    """Puts what was measured so far into the JSON that is there.

    Parameters
    ----------
    path : the JSON. Where that is of another machine, a new one is begun beside it.
    fresh : begin it anew.

    Raises
    ------
    ReportError : it is no result.
    """

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._path, self._before = path, [load_result(path)] if path.is_file() and not fresh else []

    def __call__(self, result: dict[str, Any]) -> None:
        try:
            whole = merge([*self._before, result])
        except ReportError as error:
            beside = next(path for path in _beside(self._path) if not path.exists())
            print(f"{error.message}; {self._path} stays, and this goes into {beside}", file=sys.stderr)
            print(f"put them together by --merge {self._path} {beside} --anyway", file=sys.stderr)
            self._path, self._before, whole = beside, [], result
        save_result(whole, self._path)


def _beside(path: Path) -> Iterator[Path]:
    return (path.with_suffix(f".{number}.json") for number in count(2))


def _prepare(
    args: argparse.Namespace, console: Any
) -> tuple[BenchConfig, tuple[Contender, ...], dict[str, str], list[Subject]]:
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
    contenders = (
        select_contenders(args.contenders) if args.contenders else default_contenders(has_gpu=bool(gpus()))
    )
    args.work.mkdir(parents=True, exist_ok=True)
    stages, subjects = Stages(console), list[Subject]()
    batches, now = tuple(args.batches), args.time_batches or args.batches
    for name in args.networks:
        with stages.stage(f"prepare {name}"):
            made = make_subject(name, args.work, config=config, batches=batches, num_clips=args.num_clips)
            frames = made.cases[0].frames
            subjects.append(replace(made, timed=tuple(Case(batch, frames) for batch in now)))
    return config, contenders, {library: path for library, path in pythons.items() if path}, subjects


def _build(
    folder: Path,
    config: BenchConfig,
    contenders: Sequence[Contender],
    python: str | None,
    subjects: Sequence[Subject],
    console: Any,
) -> int:
    """Build all engines, whichever fail; return the exit status."""
    stages, status = Stages(console), 0
    for subject in subjects:
        for contender in contenders:
            if contender.library == "tensorrt":
                try:
                    with stages.stage(f"{subject.name}, {contender.title}") as stage:
                        inputs, _ = subject.specs()
                        built = build_engine(subject, contender, inputs, config, python=python, folder=folder)
                        way = f"; {built['way']}" if built["way"] else ""
                        stage.note(f"built in {built['build_s']:.0f} s{way}")
                except TrtforgeError as error:
                    print(f"error: {subject.name}, {contender.title}: {error}", file=sys.stderr)
                    status = 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=tuple(TITLES), default=list(TITLES))
    parser.add_argument("--contenders", nargs="+", choices=tuple(CONTENDERS))
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES), metavar="N")
    parser.add_argument(
        "--time-batches",
        type=int,
        nargs="+",
        metavar="N",
        help="time only these of --batches, with the engines of all of them; the others another time",
    )
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
    parser.add_argument("--anyway", action="store_true", help="merge parts of unlike machines, too")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; use the JSON that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
