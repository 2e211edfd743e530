"""The generated part of the docs page: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.pages import fill_between, sections, table


def fill(page: str, result: Mapping[str, Any]) -> str:
    """Replace what stands between the page's markers by the tables of a result.

    Raises
    ------
    ConfigError : the page does not have each marker once, in order.
    """
    return fill_between(page, tables(result))


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: what is found by clips, each broken scale, speed, origin."""
    return sections(
        (
            ("Found, by number of clips", _found(result)),
            ("Each scale broken alone", _broken(result)),
            ("Speed", _speed(result)),
            ("Made with", _origin(result)),
        )
    )


def share(count: int, whole: int) -> str:
    """Write a count and its share."""
    return f"{count} of {whole} ({100 * count / whole:.1f} %)"


def _found(result: Mapping[str, Any]) -> str:
    rows = [
        (
            row["kind"],
            row["num_clips"],
            row["num_words"],
            *(share(row[verdict], row["trials"]) for verdict in ("fail", "undecided", "pass")),
        )
        for row in sorted(result["verdicts"], key=lambda row: _kinds(result).index(row["kind"]))
    ]
    heading = ("Run", "clips", "words", "fail", "not enough to tell", "pass")
    whole = result["clips"]["num_clips"]
    return (
        f"Words and outputs judged together, as `trtforge check` does. {whole} clips are the whole set; "
        "other numbers are drawn from it with replacement.\n\n" + table(heading, rows, right=5)
    )


def _broken(result: Mapping[str, Any]) -> str:
    factors = list(dict.fromkeys(row["factor"] for row in result["broken"]))
    found = {(row["tensor"], row["factor"]): row for row in result["broken"]}
    rows = [
        (
            f"`{tensor}`",
            *(
                f"{row['wer_increase']:+.2f} points, {-row['snr_loss_db']:+.1f} dB: {row['verdict']}"
                for row in (found[tensor, factor] for factor in factors)
            ),
        )
        for tensor in dict.fromkeys(row["tensor"] for row in result["broken"])
    ]
    heading = ("Tensor", *(f"range times {factor:g}" for factor in factors))
    return "Change of WER and of the mean SNR on all clips, and the verdict.\n\n" + table(
        heading, rows, right=0
    )


def _speed(result: Mapping[str, Any]) -> str:
    rows = [
        (
            row["kind"],
            f"{row['ratio']:.3f}",
            *(share(row[verdict], row["runs"]) for verdict in ("fail", "undecided", "pass")),
        )
        for row in result["speed"]
    ]
    first = result["speed"][0]
    return (
        f"{first['rounds']} rounds a run; the medians of unchanged runs spread by "
        f"{100 * first['spread_of_medians']:.1f} % (standard deviation).\n\n"
        + table(("Run", "time by reference", "fail", "not enough to tell", "pass"), rows, right=4)
    )


def _origin(result: Mapping[str, Any]) -> str:
    run, machine, config = result["run"], result["run"]["machine"], result["config"]
    return "\n".join(
        (
            f"* `{run['command']}`, {result['trials']} runs of each kind",
            f"* budgets: {100 * config['wer_budget']:g} points and a resolution of "
            f"{100 * config['wer_resolution']:g}; {config['snr_budget_db']:g} dB and "
            f"{config['snr_resolution_db']:g}; {100 * config['speed_budget']:g} % and "
            f"{100 * config['speed_resolution']:g} %; false alarms "
            f"{100 * config['false_alarm_rate']:g} %, misses {100 * config['miss_rate']:g} %",
            f"* clips `{result['clips']['name']}`, digest `{result['clips']['sha256'][:12]}`; WER "
            f"{100 * result['wer']:.2f} %, mean SNR {result['snr_db']:.1f} dB",
            f"* {result['rebuilds']} rebuilds, every range moved by up to {100 * result['noise']:g} %: "
            f"{result['rebuild_changes']['clips']:.1f} clips and {result['rebuild_changes']['errors']:.1f} "
            "errors change on average",
            f"* {run['date']}, {machine['num_cpus']} cores of {machine['processor']}; "
            + ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        )
    )


def _kinds(result: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in result["verdicts"]))
