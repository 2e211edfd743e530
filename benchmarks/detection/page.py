"""The generated part of the docs page: tables that only the benchmark's JSON feeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.origin import cores_of, versions_of
from benchmarks.pages import sections, table


def tables(result: Mapping[str, Any]) -> str:
    """Return plot and tables in Markdown: what is found by clips, each broken scale, speed, origin."""
    return sections(
        (
            ("Found, by number of clips", _found(result)),
            ("Each scale broken alone", _broken(result)),
            ("Speed, by simulation", _noises(result)),
            ("Speed, timed", _speed(result)),
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
            "" if row["points"] is None else f"{row['points']:.2f}",
            *(share(row[verdict], row["trials"]) for verdict in ("fail", "undecided", "pass")),
        )
        for row in sorted(result["verdicts"], key=lambda row: _kinds(result).index(row["kind"]))
    ]
    heading = ("Run", "clips", "words", "points", "fail", "not enough to tell", "pass")
    whole = result["clips"]["num_clips"]
    needed = ", ".join(
        f"{row['points']:g} points with {row['num_clips']:,} clips" for row in result["clips_for"]
    )
    return (
        "![Share of checks that fail and that pass, by number of clips](images/detection.svg)\n\n"
        f"Words and outputs judged together, as `trtforge check` does. {whole} clips are the whole set; "
        "other numbers are drawn from it with replacement. *What can be resolved* is the increase that so "
        f"many clips are calculated to find in 99 of 100 checks. By the same rule, found are {needed}.\n\n"
        + table(heading, rows, right=6)
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


def _noises(result: Mapping[str, Any]) -> str:
    rows = [
        (
            row["noise"],
            row["kind"],
            row["judged_by"],
            *(share(row[verdict], row["trials"]) for verdict in ("fail", "undecided", "pass")),
        )
        for row in result["noises"]
    ]
    heading = ("Noise", "Candidate", "judged by", "fail", "not enough to tell", "pass")
    return (
        "Ratios of times are drawn, 8 runs of 10 rounds on each side. *Rounds* takes the 80 rounds of one "
        "run for 80 independent values, which is what a check must not do; *runs* is what it does. *Just "
        "allowed* is as much slower as the budget.\n\n" + table(heading, rows, right=3)
    )


def _speed(result: Mapping[str, Any]) -> str:
    timed = result["speed"]["verdicts"]
    if not timed:
        return "Not timed yet: it takes a machine that does nothing else, and `--parts speed`."
    rows = [
        (
            row["kind"],
            f"{row['ratio']:.3f}",
            *(share(row[verdict], row["trials"]) for verdict in ("fail", "undecided", "pass")),
        )
        for row in timed
    ]
    first = timed[0]
    return (
        f"{first['runs']} runs of {first['rounds']} rounds, each a process of its own; runs scatter by "
        f"{100 * first['spread']:.1f} % (standard deviation). Each check takes 8 that follow each other for "
        "the baseline and 8 others for the candidate; as checks share runs, their share is that of this "
        "machine on this day.\n\n"
        + table(("Candidate", "time by reference", "fail", "not enough to tell", "pass"), rows, right=4)
    )


def _origin(result: Mapping[str, Any]) -> str:
    config = result["config"]
    return "\n".join(
        (
            *(_run(part, run) for part, run in result["runs"].items()),
            f"* {result['trials']} checks of each kind; budgets: {100 * config['wer_budget']:g} points and a "
            f"resolution of {100 * config['wer_resolution']:g}; {config['snr_budget_db']:g} dB and "
            f"{config['snr_resolution_db']:g}; {100 * config['speed_budget']:g} % and "
            f"{100 * config['speed_resolution']:g} %; false alarms "
            f"{100 * config['false_alarm_rate']:g} %, misses {100 * config['miss_rate']:g} %",
            f"* clips `{result['clips']['name']}`, digest `{result['clips']['sha256'][:12]}`; WER "
            f"{100 * result['wer']:.2f} %, mean SNR {result['snr_db']:.1f} dB",
            f"* {result['rebuilds']} rebuilds, every range moved by up to {100 * result['noise']:g} %: "
            f"{result['rebuild_changes']['clips']:.1f} clips and {result['rebuild_changes']['errors']:.1f} "
            "errors change on average",
        )
    )


def _run(part: str, run: Mapping[str, Any]) -> str:
    return f"* {part}: `{run['command']}`, {run['date']}, {cores_of(run['machine'])}; {versions_of(run)}"


def _kinds(result: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in result["verdicts"]))
