"""Accuracy reports as tables for a terminal; rates in percent, differences in points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trtforge._tables import make_table
from trtforge.accuracy.summary import ErrorRate, Increase, Stratum

if TYPE_CHECKING:
    from trtforge.accuracy.report import AccuracyReport


# Candidates whose differences fit beside each other into eighty columns.
_DIFFERENCES = 2


def render_tables(report: AccuracyReport) -> Group:
    """Set overall rates, strata and output differences in tables, each only where there is something."""
    tables: list[RenderableType] = []
    if report.overall is not None:
        tables.append(_overall(report, report.overall))
    if report.strata:
        shown = report.candidates if len(report.candidates) == 1 else ()
        tables.append(_strata(report, "WER % by stratum", report.runners, shown))
        if not shown:
            for first in range(0, len(report.candidates), _DIFFERENCES):
                some = report.candidates[first : first + _DIFFERENCES]
                tables.append(_strata(report, "Differences by stratum", (), some))
    if any(report.outputs.values()):
        tables.append(_outputs(report))
    tables += [
        Text(f"left out: {clip}: {reason}", style="yellow") for clip, reason in report.rejected.items()
    ]
    return Group(*tables)


def _overall(report: AccuracyReport, overall: Stratum) -> Table:
    table = make_table(f"Word errors: {overall.num_clips} clips, {overall.num_words} words")
    headings = ["runner", "WER %", "interval", "errors", "CER %"]
    if report.candidates:
        headings += [f"vs {report.reference}, points", "p"]
    for heading in headings:
        table.add_column(Text(heading), justify="left" if heading == "runner" else "right")
    for name, result in overall.runners.items():
        cells = (
            Text(name),
            _percent(result.wer.rate),
            _interval(result.wer),
            str(result.wer.counts.num_errors),
            _percent(result.cer.rate),
            _points(result.wer_increase),
            "-" if result.wer_increase is None else f"{result.wer_increase.p_value:.2g}",
        )
        table.add_row(*cells[: len(headings)])
    return table


def _strata(report: AccuracyReport, title: str, runners: Sequence[str], candidates: Sequence[str]) -> Table:
    """Set rates of runners, and differences of candidates from the reference, in a row for each stratum."""
    table = make_table(title)
    table.add_column("stratum")
    table.add_column("clips", justify="right")
    table.add_column("words", justify="right")
    for name in runners:
        table.add_column(Text(name), justify="right")
    for name in candidates:
        table.add_column(Text(f"{name} - {report.reference}, points"), justify="right")
    factor = report.strata[0].factor
    for stratum in report.strata:
        if stratum.factor != factor:
            table.add_section()
            factor = stratum.factor
        table.add_row(
            Text(str(stratum)),
            str(stratum.num_clips),
            str(stratum.num_words),
            *(_percent(stratum.runners[name].wer.rate) for name in runners),
            *(_points(stratum.runners[name].wer_increase) for name in candidates),
        )
    return table


def _outputs(report: AccuracyReport) -> Table:
    table = make_table(f"Outputs against {report.reference}")
    # Eighty columns hold no more; relative errors are in the report's JSON.
    headings = ("runner", "output", "SNR dB", "cosine", "max error", "mean", "argmax agrees %")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("runner", "output") else "right")
    for runner, outputs in report.outputs.items():
        for name, metrics in outputs.items():
            table.add_row(
                Text(runner),
                Text(name),
                f"{metrics.snr_db:.1f}",
                f"{metrics.cosine:.5f}",
                f"{metrics.max_abs_error:.4g}",
                _number(metrics.mean_abs_error),
                _percent(metrics.argmax_agreement),
            )
    return table


def _percent(rate: float) -> str:
    return "-" if math.isnan(rate) else f"{100 * rate:.2f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _interval(rate: ErrorRate) -> str:
    if rate.interval is None:
        return "-"
    return f"{100 * rate.interval.low:.2f} to {100 * rate.interval.high:.2f}"


def _points(increase: Increase | None) -> Text:
    if increase is None or math.isnan(increase.rate):
        return Text("-")
    text = f"{100 * increase.rate:+.2f}"
    if increase.interval is None:
        return Text(text)
    low, high = increase.interval.low, increase.interval.high
    style = "red" if low > 0 else "green" if high < 0 else ""
    return Text(f"{text} ({100 * low:+.2f} to {100 * high:+.2f})", style=style)
