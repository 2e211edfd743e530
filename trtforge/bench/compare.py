"""Set two results side by side, and refuse what cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtforge.bench import wording
from trtforge.bench.result import unlike_machines
from trtforge.errors import ReportError


@dataclass(frozen=True)
class Comparison:
    """One contender at one shape, in two results.

    Parameters
    ----------
    network, contender, batch, frames : what is compared.
    before_ms, after_ms : median latency in each, in milliseconds; the GPU's where both have it.
    ratio : after by before.
    low, high : least and largest ratio of a round after to a round before: how far rounds alone spread it.
    rate_ratio : throughput after by before.
    """

    network: str
    contender: str
    batch: int
    frames: int | None
    before_ms: float
    after_ms: float
    ratio: float
    low: float
    high: float
    rate_ratio: float

    @property
    def is_apart(self) -> bool:
        """Whether every round of one was slower than every round of the other."""
        return self.low > 1 or self.high < 1


def compare_results(
    before: Mapping[str, Any], after: Mapping[str, Any], *, anyway: bool = False
) -> tuple[Comparison, ...]:
    """Compare what two results have in common.

    Parameters
    ----------
    before, after : results.
    anyway : compare unlike machines, versions or networks, too.

    Raises
    ------
    ReportError : they differ in what must be alike, or have no row in common.
    """
    if not anyway and (unlike := differences(before, after)):
        raise ReportError(
            "the two results cannot be compared: "
            + "; ".join(unlike[:5])
            + (f"; and {len(unlike) - 5} more" if len(unlike) > 5 else ""),
            hint="measure both on one machine with the same versions, or compare them anyway",
            settings=("anyway",),
        )
    old = {_key(row): row for row in before["rows"] if "failed" not in row}
    pairs = [(old[_key(row)], row) for row in after["rows"] if "failed" not in row and _key(row) in old]
    if not pairs:
        raise ReportError("the two results have no network, contender and shape in common")
    return tuple(_compare(*pair) for pair in pairs)


def uncompared(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return in words what was timed in one result alone: it failed in the other, or took no part."""
    results = {"before": before, "after": after}
    rows = {name: {_key(row): row for row in result["rows"]} for name, result in results.items()}
    found = []
    for here, there in (("before", "after"), ("after", "before")):
        for key, row in rows[here].items():
            other = rows[there].get(key)
            if "failed" not in row and (other is None or "failed" in other):
                what = "was not measured" if other is None else "failed"
                name = f"{row['network']}, {wording.title(row['contender'])}, {wording.shape(row)}"
                found.append(f"{name}: {what} {there}")
    return found


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return in words what must be alike and is not: machines, versions, settings, networks."""
    first = before["runs"][0]
    found = [text for run in (*before["runs"][1:], *after["runs"]) for text in unlike_machines(first, run)]
    old = {(row["network"], row["contender"]): row for row in before["contenders"]}
    for row in after["contenders"]:
        mine = old.get((row["network"], row["contender"]), {})
        for package, version in (row.get("versions") or {}).items():
            then = (mine.get("versions") or {}).get(package, version)
            if then != version:
                found.append(f"{row['contender']} ran with {package} {then} and {version}")
    threads = {str(run["config"].get("num_threads")) for run in (*before["runs"], *after["runs"])}
    if len(threads) > 1:
        found.append(f"num_threads was {' and '.join(sorted(threads))}")
    built = {row["network"]: row for row in before["networks"]}
    for row in after["networks"]:
        for setting in ("profiles", "optimization_level"):
            then = built.get(row["network"], row).get(setting)
            if then != row.get(setting):
                found.append(f"{row['network']} was built with {setting} {then} and {row.get(setting)}")
    digests = {row["network"]: row["sha256"] for row in before["networks"]}
    for row in after["networks"]:
        if digests.get(row["network"], row["sha256"]) != row["sha256"]:
            then = digests[row["network"]]
            found.append(f"{row['network']} is another network: {then[:12]} and {row['sha256'][:12]}")
    return list(dict.fromkeys(found))


def _compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    clock = "device_ms" if before["device_ms"] and after["device_ms"] else "wall_ms"
    then, now = before[clock], after[clock]
    spread = np.divide.outer(np.asarray(now["rounds"]), np.asarray(then["rounds"]))
    return Comparison(
        network=after["network"],
        contender=after["contender"],
        batch=after["batch"],
        frames=after["frames"],
        before_ms=then["p50"],
        after_ms=now["p50"],
        ratio=now["p50"] / then["p50"],
        low=float(spread.min()),
        high=float(spread.max()),
        rate_ratio=after["rows_per_s"]["median"] / before["rows_per_s"]["median"],
    )


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["network"], row["contender"], row["batch"], row["frames"]
