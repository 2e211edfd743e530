"""``trtforge check``: whether a candidate got worse than an accepted baseline."""

from __future__ import annotations

import argparse
import os
import sys

from trtforge.cli._options import make_console, print_notes, print_path
from trtforge.cli._outputs import check_outputs

# What a budget of the library is called here, and how many of its units make one of ours.
_BUDGETS = (
    ("--wer-budget", "wer_budget", 0.0, 100, "POINTS", "increase of the word error rate that is allowed"),
    ("--wer-resolution", "wer_resolution", 0.5, 100, "POINTS", "step beyond it that must be noticed"),
    ("--errors-per-clip", "errors_per_clip", 2.0, 1, "N", "errors a regression adds to a clip it touches"),
    ("--stratum-wer-budget", "stratum_wer_budget", None, 100, "POINTS", "the same, for any stratum"),
    ("--stratum-wer-resolution", "stratum_wer_resolution", 2.0, 100, "POINTS", "step beyond it"),
    ("--snr-budget", "snr_budget_db", 1.0, 1, "DB", "mean loss of an output's SNR that is allowed"),
    ("--snr-resolution", "snr_resolution_db", 1.0, 1, "DB", "step beyond it that must be noticed"),
    ("--speed-budget", "speed_budget", 2.0, 100, "PERCENT", "increase of the time that is allowed"),
    ("--speed-resolution", "speed_resolution", 3.0, 100, "PERCENT", "step beyond it that must be noticed"),
    ("--false-alarms", "false_alarm_rate", 1.0, 100, "PERCENT", "checks that may fail for nothing"),
    ("--misses", "miss_rate", 1.0, 100, "PERCENT", "checks that may pass what must be noticed"),
)
OPTIONS = {setting: (option,) for option, setting, *_ in _BUDGETS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "candidate",
        metavar="CANDIDATE",
        help="a network (.onnx), an engine (.engine), or what evaluate -o wrote of it (.json)",
    )
    parser.add_argument("--baseline", metavar="JSON", required=True, help="what was accepted")
    parser.add_argument("--reference", metavar="MODEL", help="the network that outputs are held against")
    parser.add_argument("--clips", metavar="DIR", help="the clips of the baseline, with texts")
    parser.add_argument("--timings", metavar="JSON", help="times of reference and candidate, side by side")
    parser.add_argument(
        "--time",
        type=int,
        metavar="RUNS",
        help="take them here, in so many runs of 10 rounds of 8 clips, each a process of its own; 8 or more",
    )
    parser.add_argument("--update", action="store_true", help="write the baseline instead of checking")
    for option, _, default, _, unit, text in _BUDGETS:
        parser.add_argument(
            option,
            type=float,
            default=default,
            metavar=unit,
            help=f"{text} (default: {'not judged' if default is None else f'{default:g}'})",
        )
    parser.add_argument("--junit", metavar="XML", help="also write the result as JUnit XML")
    parser.add_argument(
        "--summary", metavar="MD", help="also append it in Markdown (default: $GITHUB_STEP_SUMMARY where set)"
    )
    parser.add_argument("-o", "--output", metavar="JSON", help="also write it as JSON")


def run(args: argparse.Namespace) -> int:
    """Check, print what was found; return the exit status."""
    from pathlib import Path

    from rich.text import Text

    from trtforge._files import write_json, write_text
    from trtforge._progress import Stages
    from trtforge._tables import hanging
    from trtforge.accuracy import AccuracyReport
    from trtforge.checks import CheckConfig, Timings, github_annotations, judge, junit_xml, markdown_summary
    from trtforge.checks.baseline import Baseline
    from trtforge.checks.decision import MIN_RUNS
    from trtforge.errors import BaselineError, ConfigError
    from trtforge.pipeline import evaluate_candidate, measure_baseline, time_candidate
    from trtforge.pipeline.remarks import remark_quiet
    from trtforge.pipeline.reporting import environment
    from trtforge.report.formatting import plural

    values = vars(args)
    config = CheckConfig(
        **{
            setting: value / scale
            for option, setting, _, scale, *_ in _BUDGETS
            if (value := values[option[2:].replace("-", "_")]) is not None
        }
    )
    is_report = args.candidate.endswith(".json")
    if is_report and (args.reference or args.clips):
        raise ConfigError(
            f"{args.candidate} is a report: --reference and --clips say nothing beside it",
            hint="leave them out, or give the network or engine itself",
        )
    if args.time is not None and (args.timings or is_report or not (args.reference and args.clips)):
        raise ConfigError(
            "--time needs a candidate that can be run, --reference and --clips, and no --timings"
        )
    if args.time is not None and args.time < MIN_RUNS:
        raise ConfigError(f"--time must be {MIN_RUNS} runs or more, got {args.time}")
    if not args.update and not Path(args.baseline).is_file():
        raise BaselineError(f"no baseline at {args.baseline}", hint="write it with --update, and review it")
    baseline = None if args.update else Baseline.load(args.baseline)
    timings = Timings.load(args.timings) if args.timings else None
    summary = None if args.update else args.summary or os.environ.get("GITHUB_STEP_SUMMARY")
    summary_name = "--summary" if args.summary else "$GITHUB_STEP_SUMMARY"
    read = {"MODEL": args.candidate, "--reference": args.reference, "--timings": args.timings}
    if args.update:
        written = {"--baseline": args.baseline}
    else:
        read["--baseline"] = args.baseline
        written = {"--output": args.output, "--junit": args.junit, summary_name: summary}
    check_outputs({**read, **written}, read=read, appended={summary_name})
    console, name = make_console(), Path(args.candidate).name
    if is_report:
        report = AccuracyReport.load(args.candidate)
    else:
        with Stages(console).stage("evaluate") as stage:
            report = evaluate_candidate(
                args.candidate, reference=args.reference, clips=args.clips, name=name, on_progress=stage
            )
            stage.note(plural(report.num_clips, "clip"))
        print_notes(console, remark_quiet(report.quiet, report.num_clips, "evaluated"))
    if args.time is not None:
        with Stages(console).stage("time") as stage:
            timings = time_candidate(
                args.reference, args.candidate, args.clips, num_runs=args.time, on_progress=stage
            )
            stage.note(f"{args.time} runs")
    if baseline is None:
        measure_baseline(report, timings=timings, measured_here=not is_report).save(args.baseline)
        print_path(console, "written", args.baseline)
        if ignored := [option for option in ("output", "junit", "summary") if getattr(args, option)]:
            names = ", ".join(f"--{option}" for option in ignored)
            console.print(f"[yellow]note: nothing was checked, and nothing written to {names}[/]")
        return 0
    timed_on = None if args.time is None else environment()["gpu"]
    result = judge(baseline, report, config, timings=timings, timed_on=timed_on)
    for line in str(result).splitlines():
        indent = len(line) - len(line.lstrip()) + 4
        width = console.width if console.is_terminal else len(line) + indent
        console.print(hanging(Text(line), width, indent), soft_wrap=True)
    if args.output:
        write_json(args.output, result.to_json())
    if args.junit:
        write_text(args.junit, junit_xml(result))
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(markdown_summary(result))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # Commands to the runner must stand alone on their lines, whatever the console is.
        sys.stdout.write("".join(f"{line}\n" for line in github_annotations(result, file=args.baseline)))
    return result.exit_status
