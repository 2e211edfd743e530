"""Results as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from trtforge._tables import make_table
from trtforge.bench import wording
from trtforge.bench.compare import Comparison


def result_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """Yield two tables for each network: times at each shape, and accuracy and cost."""
    for network in dict.fromkeys(row["network"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["network"] == network]
        contenders = {row["contender"]: row for row in result["contenders"] if row["network"] == network}
        yield _speed(network, rows)
        yield _cost(rows, contenders)


def left_out(result: Mapping[str, Any]) -> list[str]:
    """Say who was left out, failed, did not settle or was built in another way, each reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in (*result["contenders"], *result["rows"]):
        for key, words in (
            ("left_out", "left out"),
            ("failed", "failed"),
            ("accuracy_failed", "not compared"),
        ):
            if key in row:
                names = reasons.setdefault((words, row[key]), [])
                name = wording.title(row["contender"])
                names.extend([name] if name not in names else [])
    for row in result["rows"]:
        if not row.get("warm_up", {}).get("is_settled", True):
            where = f"{row['network']} at {wording.shape(row)}"
            reason = f"its times still changed at the end of its warm-up on {where}"
            reasons.setdefault(("not settled", reason), []).append(wording.title(row["contender"]))
    others = [f"{', '.join(names)}: {words}, {reason}" for (words, reason), names in reasons.items()]
    return others + [
        f"{wording.title(row['contender'])} of {row['network']}: {row['way']}"
        for row in result["contenders"]
        if row.get("way")
    ]


def comparison_table(found: Sequence[Comparison]) -> Table:
    """Return what changed from one result to another."""
    table = _table("after by before")
    lengths = len({(row.network, row.frames) for row in found}) > len({row.network for row in found})
    table.add_column("network")
    table.add_column("contender")
    for name in (
        "batch",
        *(("frames",) if lengths else ()),
        "before ms",
        "after ms",
        "change",
        "rounds %",
        "clips/s",
    ):
        table.add_column(name, justify="right")
    network = None
    for row in found:
        tone = "" if not row.is_apart else "red" if row.ratio > 1 else "green"
        change = f"{100 * (row.ratio - 1):+.1f} %"
        table.add_row(
            "" if row.network == network else escape(row.network),
            wording.title(row.contender),
            str(row.batch),
            *([str(row.frames)] if lengths else []),
            wording.milliseconds(row.before_ms),
            wording.milliseconds(row.after_ms),
            f"[{tone}]{change}[/]" if tone else change,
            f"{100 * (row.low - 1):+.0f} to {100 * (row.high - 1):+.0f}",
            f"{100 * (row.rate_ratio - 1):+.1f} %",
        )
        network = row.network
    return table


def _speed(network: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(f"[bold]{escape(network)}[/]")
    lengths = len({row["frames"] for row in rows}) > 1
    for name in ("batch", "frames") if lengths else ("batch",):
        table.add_column(name, justify="right")
    table.add_column("contender")
    for name in ("p50 ms", "p95", "p99", "± rounds", "clips/s", "RTFx"):
        table.add_column(name, justify="right")
    for shape in dict.fromkeys((row["batch"], row["frames"]) for row in rows):
        own = [row for row in rows if (row["batch"], row["frames"]) == shape]
        timed = [row for row in own if "failed" not in row]
        best = min((wording.latency(row)["p50"] for row in timed), default=None)
        for index, row in enumerate(own):
            head = [str(row["batch"]), *([str(row["frames"])] if lengths else [])]
            head = head if index == 0 else [""] * len(head)
            if "failed" in row:
                table.add_row(*head, wording.title(row["contender"]), "[red]failed[/]")
                continue
            times = wording.latency(row)
            p50 = wording.milliseconds(times["p50"])
            table.add_row(
                *head,
                wording.title(row["contender"]),
                f"[bold green]{p50}[/]" if times["p50"] == best else p50,
                wording.milliseconds(times["p95"]),
                wording.milliseconds(times["p99"]),
                f"{100 * wording.spread(times['rounds']):.1f} %",
                wording.rate(row["rows_per_s"]["median"]),
                wording.rate(row["rtfx"]),
            )
        table.add_section()
    return table


def _cost(rows: Sequence[Mapping[str, Any]], contenders: Mapping[str, Mapping[str, Any]]) -> Table:
    timed = [row for row in rows if "failed" not in row]
    largest = {row["contender"]: row for row in sorted(timed, key=lambda row: row["batch"])}
    batch = max((row["batch"] for row in timed), default=0)
    has_gpu = any(row["device_ms"] for row in timed)
    table = _table(f"[dim]accuracy, and cost at batch {batch}[/]")
    table.add_column("contender")
    for name in (
        "SNR dB", "WER %", "build s", "load s",
        *(("GPU mem", "J/clip") if has_gpu else ()), "host mem",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for name, row in contenders.items():
        if "load_s" not in row:
            continue
        held = largest.get(name, {})
        on_gpu = (wording.size(held.get("device_bytes")), wording.energy(held.get("energy_j")))
        table.add_row(
            wording.title(name),
            wording.snr(row),
            wording.words(row),
            wording.seconds(row.get("build_s")),
            wording.seconds(row["load_s"]),
            *(on_gpu if has_gpu else ()),
            wording.size(held.get("host_bytes")),
        )
    return table


def _table(title: str) -> Table:
    table = make_table(title)
    table.title_style, table.header_style = "", "dim"
    return table
