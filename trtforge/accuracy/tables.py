"""Accuracy reports as tables for a terminal; rates in percent, differences in points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trtforge.accuracy.summary import ErrorRate, Increase, Stratum

if TYPE_CHECKING:
    from trtforge.accuracy.report import AccuracyReport


def render_tables(report: AccuracyReport) -> Group:
    """Set overall rates, strata and output differences in tables, each only where there is something."""
    tables: list[RenderableType] = []
    if report.overall is not None:
        tables.append(_overall(report, report.overall))
    if report.strata:
        tables.append(_strata(report))
    if any(report.outputs.values()):
        tables.append(_outputs(report))
    tables += [
        Text(f"left out: {clip}: {reason}", style="yellow") for clip, reason in report.rejected.items()
    ]
    return Group(*tables)


def _overall(report: AccuracyReport, overall: Stratum) -> Table:
    table = Table(
        title=f"Word errors: {overall.num_clips} clips, {overall.num_words} words", title_justify="left"
    )
    headings = ("runner", "WER %", "interval", "errors", "CER %", f"vs {report.reference}, points", "p")
    for heading in headings:
        table.add_column(Text(heading), justify="left" if heading == "runner" else "right")
    for name, result in overall.runners.items():
        table.add_row(
            Text(name),
            _percent(result.wer.rate),
            _interval(result.wer),
            str(result.wer.counts.num_errors),
            _percent(result.cer.rate),
            _points(result.wer_increase),
            "-" if result.wer_increase is None else f"{result.wer_increase.p_value:.2g}",
        )
    return table


def _strata(report: AccuracyReport) -> Table:
    table = Table(title="WER % by stratum", title_justify="left")
    table.add_column("stratum")
    table.add_column("clips", justify="right")
    table.add_column("words", justify="right")
    for name in report.runners:
        table.add_column(Text(name), justify="right")
    for name in report.candidates:
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
            *(_percent(result.wer.rate) for result in stratum.runners.values()),
            *(_points(stratum.runners[name].wer_increase) for name in report.candidates),
        )
    return table


def _outputs(report: AccuracyReport) -> Table:
    table = Table(title=f"Outputs against {report.reference}", title_justify="left")
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
