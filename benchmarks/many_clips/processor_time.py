"""The processor time that this process and all that it started have taken, by what they are."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds() -> defaultdict[str, float]:
    """Return user and system seconds of the living processes below this one, and of itself as ``driver``.

    Returns
    -------
    Seconds by kind: ``driver``; ``recogniser``, Ray's actors that run a network; ``decoding``, its processes
    that run tasks; ``ray``, all else that Ray started.
    """
    found: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[int(path.parent.name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS)
    seconds = defaultdict[str, float](float)
    for process, (_, spent) in found.items():
        if process == os.getpid():
            seconds["driver"] += spent
        elif _is_below(process, os.getpid(), {child: parent for child, (parent, _) in found.items()}):
            seconds[_kind(process)] += spent
    return seconds


def _is_below(process: int, ancestor: int, parents: dict[int, int]) -> bool:
    while process in parents:
        process = parents[process]
        if process == ancestor:
            return True
    return False


def _kind(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return "ray"
    if "MapWorker" in words:
        return "recogniser"
    return "decoding" if words.startswith(("ray::IDLE", "ray::MapBatches", "ray::digest_files")) else "ray"
