"""The generated part of a set's README: counts by stratum, taken from the manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from calibration_sets.synthesis.store import read_manifest

_BEGIN, _END = "<!-- begin strata -->", "<!-- end strata -->"


def strata_table(folder: Path) -> str:
    """Count clips, words and minutes, and clips by stratum.

    Parameters
    ----------
    folder : a set with its manifest.

    Returns
    -------
    Markdown: a sentence and a table.
    """
    entries = read_manifest(folder)
    seconds = [entry["duration"] for entry in entries]
    words = [word for entry in entries for word in entry["text"].split()]
    size = sum((folder / entry["path"]).stat().st_size for entry in entries)
    mean = sum(seconds) / len(seconds)
    lines = [
        f"{len(entries)} clips of {min(seconds):.1f} to {max(seconds):.1f} s, {mean:.1f} s on average, "
        f"{sum(seconds) / 60:.1f} minutes together; {len(words)} words, {len(set(words))} different; "
        f"{size / 1e6:.1f} MB.",
        "",
        "| Stratum | Values (number of clips) |",
        "|---|---|",
    ]
    for factor in entries[0]["strata"]:
        counts = Counter(entry["strata"][factor] for entry in entries)
        shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        lines.append(f"| {factor} | {', '.join(f'{value} ({count})' for value, count in shown)} |")
    plain = {"noise": "none", "reverb": "dry", "channel": "studio"}
    num_plain = sum(plain.items() <= entry["strata"].items() for entry in entries)
    lines += ["", f"{num_plain} clips are plain: no noise, dry, studio."]
    return "\n".join(lines)


def update_readme(folder: Path) -> None:
    """Put the current table between the marks of the set's README, if it has one.

    Parameters
    ----------
    folder : a set with its manifest.
    """
    path = folder / "README.md"
    if not path.exists():
        return
    before, rest = path.read_text(encoding="utf-8").split(_BEGIN)
    after = rest.split(_END)[1]
    path.write_text(f"{before}{_BEGIN}\n{strata_table(folder)}\n{_END}{after}", encoding="utf-8")
