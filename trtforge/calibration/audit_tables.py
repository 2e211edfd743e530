"""Audit reports as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trtforge._tables import make_table
from trtforge.calibration.convergence import FIRST_SIZE
from trtforge.units import format_level

if TYPE_CHECKING:
    from trtforge.calibration.audit import AuditReport
    from trtforge.calibration.convergence import Convergence

_NUM_SHOWN = 12


def render_tables(report: AuditReport) -> Group:
    """Set what was found in tables, each only where there is something, under one line for each question."""
    parts: list[RenderableType] = [_answers(report)]
    if report.coverage.cells:
        parts.append(_cells(report))
    if report.deciding:
        parts.append(_deciding(report))
    if report.saturations:
        parts.append(_saturations(report))
    if report.quiet:
        parts.append(_quiet(report))
    if report.rejected:
        parts.append(_rejected(report))
    if report.convergence is not None and report.convergence.drifts:
        parts.append(_convergence(report.convergence))
    return Group(*parts)


def _answers(report: AuditReport) -> Table:
    cover = report.coverage
    num_cells = sum(pair.num_cells for pair in cover.pairs)
    num_empty = sum(pair.num_empty for pair in cover.pairs)
    num_thin = sum(pair.num_thin for pair in cover.pairs)
    table = Table.grid(padding=(0, 2))
    table.title = f"Audit of {report.num_clips} clips, thresholds by {report.method}"
    table.title_justify = "left"
    table.add_row(
        "combinations of two strata",
        _mark(not cover.cells),
        f"{num_empty} empty and {num_thin} with fewer than {cover.min_clips} clips, of {num_cells}",
    )
    table.add_row(
        "thresholds one stratum decides",
        _mark(not report.deciding),
        f"{len(report.deciding)} of {report.num_tensors} change by more than {100 * report.max_change:g} % "
        "when its clips are left out, and by less when as many others are",
    )
    table.add_row(
        "clips that saturate",
        _mark(not report.saturations),
        f"{len(report.saturations)} with more than {100 * report.max_clipped_share:g} % of a tensor clipped",
    )
    table.add_row(
        "clips that are nearly silent",
        _mark(not report.quiet),
        f"{len(report.quiet)} of {report.num_clips} lie below -60 dBFS from end to end",
    )
    table.add_row("clips that were left out", _mark(not report.rejected), str(len(report.rejected)))
    if report.convergence is not None and not report.convergence.drifts:
        table.add_row(
            "clips that are enough",
            _mark(False),
            f"{report.num_clips} are too few to tell: drift is measured from {FIRST_SIZE} on, against all",
        )
    for alias in cover.aliases:
        first, second = (
            f"{factor} {value}" for factor, value in zip(alias.factors, alias.values, strict=True)
        )
        table.add_row("strata of the same clips", "", Text(f"{first} and {second}: {alias.num_clips} clips"))
    return table


def _mark(good: bool) -> Text:
    return Text("✓", style="green") if good else Text("!", style="yellow")


def _table(title: str, *headings: str, left: int = 1) -> Table:
    table = make_table(title)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < left else "right")
    return table


def _more(table: Table, num_rows: int) -> Table:
    if num_rows > _NUM_SHOWN:
        table.caption = f"and {num_rows - _NUM_SHOWN} more"
    return table


def _cells(report: AuditReport) -> Table:
    table = _table("Combinations that lack clips", "strata", "clips")
    for cell in report.coverage.cells[:_NUM_SHOWN]:
        table.add_row(Text(str(cell)), str(cell.num_clips))
    return _more(table, len(report.coverage.cells))


def _deciding(report: AuditReport) -> Table:
    table = _table(
        "Thresholds that one stratum decides",
        "tensor",
        "stratum",
        "clips",
        "amax",
        "without it",
        "change",
        "by chance",
        left=2,
    )
    for influence in report.deciding[:_NUM_SHOWN]:
        table.add_row(
            Text(influence.tensor),
            Text(f"{influence.factor} {influence.value}"),
            str(influence.num_clips),
            f"{influence.amax:.4g}",
            f"{influence.amax_without:.4g}",
            f"{100 * influence.change:+.1f} %",
            f"{100 * influence.by_chance:.1f} %",
        )
    return _more(table, len(report.deciding))


def _saturations(report: AuditReport) -> Table:
    table = _table("Clips that saturate", "clip", "most in tensor", "clipped", "all clips", "tensors", left=2)
    for saturation in report.saturations[:_NUM_SHOWN]:
        table.add_row(
            Text(saturation.clip_id),
            Text(saturation.tensor),
            f"{100 * saturation.clipped_share:.2g} %",
            f"{100 * saturation.overall_share:.2g} %",
            str(saturation.num_tensors),
        )
    return _more(table, len(report.saturations))


def _quiet(report: AuditReport) -> Table:
    table = _table("Clips that are nearly silent", "clip", "loudest sample", left=2)
    for clip_id, peak in list(report.quiet.items())[:_NUM_SHOWN]:
        table.add_row(Text(clip_id), format_level(peak))
    return _more(table, len(report.quiet))


def _rejected(report: AuditReport) -> Table:
    table = _table("Clips that were left out", "clip", "reason", left=2)
    for clip_id, reason in list(report.rejected.items())[:_NUM_SHOWN]:
        table.add_row(Text(clip_id), Text(reason))
    return _more(table, len(report.rejected))


def _convergence(grown: Convergence) -> Table:
    table = _table(
        f"Drift from the thresholds of all {grown.num_clips} clips: median (99th percentile), %",
        "order",
        "clips",
        *grown.methods,
    )
    for order in grown.orders:
        curves = [grown.curve(order, method) for method in grown.methods]
        drifts = [{drift.num_clips: drift for drift in curve} for curve in curves]
        sizes = sorted(set().union(*drifts))
        for size in sizes:
            table.add_row(
                Text(order if size == sizes[0] else ""),
                str(size),
                *(
                    f"{100 * at[size].median:.1f} ({100 * at[size].p99:.0f})" if size in at else ""
                    for at in drifts
                ),
            )
        enough = [grown.enough(order, method) for method in grown.methods]
        table.add_row("", "enough", *("-" if count is None else str(count) for count in enough))
        table.add_section()
    table.caption = (
        f"enough: from there on the median stays below {100 * grown.max_median:g} % "
        f"and the 99th percentile below {100 * grown.max_p99:g} %"
    )
    return table
