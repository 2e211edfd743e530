"""JSON files that trtforge wrote, explained for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from trtforge.assignment import Assignment
    from trtforge.checks import Baseline, Timings
    from trtforge.locking import Lock
    from trtforge.profiles import ProfilePlan


def explain_json(path: Path) -> list[RenderableType]:
    """Return what a terminal should show of a JSON file.

    Raises
    ------
    ConfigError : it is no JSON, or of a format that trtforge does not know.
    TrtforgeError : it is damaged; each format's own kind.
    """
    from trtforge._files import read_json
    from trtforge.accuracy import AccuracyReport
    from trtforge.assignment import Assignment
    from trtforge.bench import load_result
    from trtforge.calibration import AuditReport
    from trtforge.checks import Baseline, Timings
    from trtforge.cli.inspect import scales_table
    from trtforge.errors import ConfigError
    from trtforge.locking import Lock
    from trtforge.profiles import ProfilePlan
    from trtforge.scales import Scales

    value = read_json(path, what="JSON file", error=ConfigError)
    kind = str(value.get("format")) if isinstance(value, dict) else "none"
    if kind.startswith("trtforge.scales/"):
        return [scales_table(Scales.from_json(value, source=str(path)))]
    if kind.startswith("trtforge.accuracy/"):
        return [AccuracyReport.from_json(value, source=str(path))]
    if kind.startswith("trtforge.baseline/"):
        return [facts_table(_baseline_facts(Baseline.from_json(value, source=str(path))))]
    if kind.startswith("trtforge.assignment/"):
        return [facts_table(_assignment_facts(Assignment.from_json(value, source=str(path))))]
    if kind.startswith("trtforge.search/"):
        return [facts_table(_assignment_facts(Assignment.from_json(value["assignment"], source=str(path))))]
    if kind.startswith("trtforge.audit/"):
        return [AuditReport.from_json(value, source=str(path))]
    if kind.startswith("trtforge.profiles/"):
        return _profiles(ProfilePlan.load(path))
    if kind == "trtforge.bench/1":
        return _benchmark(load_result(path))
    if kind.startswith("trtforge.lock/"):
        return [facts_table(_lock_facts(Lock.load(path)))]
    if kind.startswith("trtforge.check/"):
        return [facts_table(_check_facts(value, path))]
    if kind.startswith("trtforge.timings/"):
        return [facts_table(_timings_facts(Timings.load(path)))]
    if kind.startswith("trtforge.report/"):
        return _report(value, path)
    raise ConfigError(f"{path} is of no kind that trtforge knows: its format is {kind!r}")


def _profiles(plan: ProfilePlan) -> list[RenderableType]:
    from trtforge.cli.plan_profiles import plan_tables

    facts = {"padding": f"{100 * plan.waste:.2f} % of the exact cost", "coverage": str(plan.coverage)}
    return [*plan_tables(plan), facts_table(facts)]


def _assignment_facts(assignment: Assignment) -> dict[str, str]:
    score, budget = assignment.score, assignment.budget
    worst = budget.worst_stratum(score)
    words = score.words
    return {
        "assignment": repr(assignment),
        "in floating point": ", ".join(assignment.keep_float) or "nothing",
        "SNR": f"{score.snr_db:.2f} dB, cosine {score.cosine:.5f}",
        **({"WER": f"{100 * words.wer_increase:+.2f} points, {words.num_words} words"} if words else {}),
        **({"worst stratum": f"{worst[0]}, {100 * worst[1]:+.2f} points"} if worst else {}),
        "network": f"SHA-256 {assignment.model_sha256}",
        "scales": f"SHA-256 {assignment.scales_sha256}",
    }


def _baseline_facts(baseline: Baseline) -> dict[str, str]:
    facts = {
        "baseline of": f"{baseline.runner}, beside {baseline.reference}",
        "clips": f"{len(baseline.clips)}, feeds {baseline.feeds_sha256[:12]}",
    }
    metrics = baseline.metrics()
    if wer := metrics.get("wer"):
        facts["WER"] = f"{wer['errors']} errors in {wer['words']} words"
    for name, spread in metrics.get("snr_db", {}).items():
        facts[f"SNR of {name}"] = f"{spread['mean']:.2f} dB, {spread['p5']:.2f} to {spread['p95']:.2f}"
    if spread := metrics.get("time_by_reference"):
        facts["time"] = f"{spread['p50']:.3f} x reference, {spread['p5']:.3f} to {spread['p95']:.3f}"
    return facts | dict(baseline.environment)


def _report(value: dict[str, Any], path: Path) -> list[RenderableType]:
    from trtforge.accuracy import AccuracyReport

    engine = value.get("engine") or {}
    facts = facts_table(
        {
            "title": str(value.get("title")),
            "command": str(value.get("command")),
            "engine": f"{engine.get('library')} {engine.get('version')}, {engine.get('bytes')} bytes",
        }
    )
    accuracy = value.get("accuracy")
    return [facts, AccuracyReport.from_json(accuracy, source=str(path))] if accuracy else [facts]


def _benchmark(result: dict[str, Any]) -> list[RenderableType]:
    from rich.markup import escape

    from trtforge.bench.table import left_out, result_tables

    facts = {}
    for number, run in enumerate(result["runs"], 1):
        machine = run["machine"]
        gpus = ", ".join(machine["gpus"])
        facts[f"run {number}"] = f"{run['date']}, {run['command']}"
        facts[f"machine {number}"] = (
            f"{gpus or 'no GPU'}, {machine['num_cpus']} cores of {machine['processor']}"
        )
    lines = [escape(line) for line in left_out(result)]
    return [facts_table(facts), *result_tables(result), *lines]


def _lock_facts(lock: Lock) -> dict[str, str]:
    facts = {"locked on": f"{lock.gpu or 'no GPU'}, {lock.system}, Python {lock.python}"}
    for name, engine in lock.engines.items():
        facts[f"engine {name}"] = (
            f"{engine.precision}, {engine.library} {engine.library_version}, compute capability "
            f"{', '.join(engine.compute_capabilities)}, plan {engine.plan_sha256[:12]}"
        )
    for name, digest in lock.files.items():
        facts[f"file {name}"] = f"SHA-256 {digest[:12]}"
    facts["packages"] = ", ".join(f"{name} {version}" for name, version in sorted(lock.packages.items()))
    return facts | {"compare with it": "trtforge lock --check FILE"}


def _check_facts(value: dict[str, Any], path: Path) -> dict[str, str]:
    from trtforge.checks.result import WORDS
    from trtforge.errors import ReportError

    try:
        facts = {"check of": f"{value['candidate']}: {WORDS[value['verdict']]}"}
        facts |= {f"fault {number}": str(text) for number, text in enumerate(value["faults"], 1)}
        for number, finding in enumerate(value["findings"], 1):
            facts[f"finding {number}"] = f"{WORDS[finding['verdict']]}: {finding['message']}"
        facts |= {f"note {number}": str(text) for number, text in enumerate(value["notes"], 1)}
        for clip in value["worse_clips"][:3]:
            facts[f"clip {clip['clip_id']}"] = f"{clip['baseline_errors']} errors then, {clip['errors']} now"
    except (KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"{path} is a damaged result of a check: {error!r}") from error
    return facts


def _timings_facts(timings: Timings) -> dict[str, str]:
    from statistics import median

    ratios = timings.ratios
    return {
        "times": f"{len(ratios)} of each, reference and candidate in turns",
        "reference": f"{median(timings.reference_ms):.4g} ms, the median",
        "candidate": f"{median(timings.candidate_ms):.4g} ms, the median",
        "by reference": f"{median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}",
    }


def facts_table(rows: dict[str, str]) -> Table:
    """Return facts under their names as a table without headings."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False, padding=(0, 1))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(escape(name), escape(text))
    return table
