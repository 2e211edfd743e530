"""Build or check the synthetic speech sets.

``python -m calibration_sets.synthesis.build [--set NAME] [--output DIR] [--workers N] [--check]``
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from calibration_sets.synthesis.design import NUM_CLIPS, STORED, SetName
from calibration_sets.synthesis.readme import update_readme
from calibration_sets.synthesis.recipes import recipes
from calibration_sets.synthesis.render import DurationError
from calibration_sets.synthesis.speak import SpeechError
from calibration_sets.synthesis.store import Entry, difference, make, read_manifest, write_manifest

SETS = Path(__file__).resolve().parent.parent

_Result = TypeVar("_Result")


def build(name: SetName, folder: Path, *, workers: int, console: Console) -> list[Entry]:
    """Make all clips of a set and write them with their manifest.

    Parameters
    ----------
    name : one of `NUM_CLIPS`.
    folder : where ``audio/`` and ``manifest.jsonl`` go; audio files of other clips there are removed.
    workers : number of processes.
    console : shows the progress.

    Returns
    -------
    The entries of the manifest.
    """
    audio = folder / "audio"
    audio.mkdir(parents=True, exist_ok=True)
    made = _on_all_clips(partial(_make, name), name, workers, console, f"building {name}")
    for entry, data in made:
        (folder / entry["path"]).write_bytes(data)
    entries = [entry for entry, _ in made]
    kept = {folder / entry["path"] for entry in entries}
    for stale in set(audio.iterdir()) - kept:
        stale.unlink()
    write_manifest(folder, entries)
    update_readme(folder)
    return entries


def check(name: SetName, folder: Path, *, workers: int, console: Console) -> list[str]:
    """Make all clips of a set anew and compare them with the ones on disk.

    Parameters
    ----------
    name, folder, workers, console : as for ``build``; nothing is written.

    Returns
    -------
    One line for each difference.
    """
    stored = {entry["id"]: entry for entry in read_manifest(folder)}
    expected = recipes(name)
    if list(stored) != list(expected):
        return [f"{folder.name}: the manifest has other clips than the design"]
    found = _on_all_clips(
        partial(_difference, name, folder, stored), name, workers, console, f"checking {name}"
    )
    return [line for line in found if line]


def _make(name: SetName, clip: str) -> tuple[Entry, bytes]:
    return make(name, recipes(name)[clip])


def _difference(name: SetName, folder: Path, stored: dict[str, Entry], clip: str) -> str:
    return difference(folder, stored[clip], name, recipes(name)[clip])


def _on_all_clips(
    work: Callable[[str], _Result], name: SetName, workers: int, console: Console, title: str
) -> list[_Result]:
    clips = list(recipes(name))
    if workers == 1:
        return list(track(map(work, clips), title, total=len(clips), console=console))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results: Iterable[_Result] = pool.map(work, clips, chunksize=4)
        return list(track(results, title, total=len(clips), console=console))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration_sets.synthesis.build",
        description="Build or check the synthetic speech sets.",
    )
    both = " and ".join(STORED)
    parser.add_argument("--set", choices=tuple(NUM_CLIPS), dest="name", help=f"one set; {both} if not given")
    parser.add_argument(
        "--output", type=Path, default=SETS, metavar="DIR", help="holds a folder for each set"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of processes")
    parser.add_argument("--check", action="store_true", help="write nothing; compare with what is there")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    0, or 1 if a check found differences or a clip could not be made.
    """
    options = _parser().parse_args(arguments)
    console = Console()
    differences: list[str] = []
    try:
        for name in [options.name] if options.name else STORED:
            folder = options.output / name
            if options.check:
                differences += check(name, folder, workers=options.workers, console=console)
                continue
            entries = build(name, folder, workers=options.workers, console=console)
            seconds = sum(entry["duration"] for entry in entries)
            size = sum((folder / entry["path"]).stat().st_size for entry in entries)
            console.print(f"{name}: {len(entries)} clips, {seconds / 60:.1f} min, {size / 1e6:.2f} MB")
    except (SpeechError, DurationError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    for line in differences:
        console.print(line, markup=False)
    if options.check:
        console.print(f"{len(differences)} clips differ" if differences else "all clips agree")
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main())
