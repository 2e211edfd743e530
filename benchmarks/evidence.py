"""Every benchmark with its command, result and page, read off the scripts and the JSON that is there."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.origin import cores_of, gpus_of
from benchmarks.pages import fill_between, table
from trtforge._files import write_text

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/benchmarks.md"
PART = "index"
_HERE = Path(__file__).parent
_RESULT = re.compile(r"[\"'](?:benchmarks/)?results/(\w+)(?:_\{[^}]*\})?\.json")
_PAGE = re.compile(r"^(?:PAGE|CARD) = ROOT / \"([^\"]+)\"", re.MULTILINE)


@dataclass(frozen=True)
class Benchmark:
    """A script that measures.

    Parameters
    ----------
    name : what follows ``bench_`` in its file's name.
    summary : what it measures, from its first line.
    results : the JSON that is there of it; none where it was not run yet.
    page : the page that shows it, from the repository's root; None where there is none.
    """

    name: str
    summary: str
    results: tuple[Path, ...]
    page: str | None

    @property
    def command(self) -> str:
        """What runs it."""
        return f"python -m benchmarks.bench_{self.name}"


def benchmarks(folder: Path = _HERE) -> tuple[Benchmark, ...]:
    """Return the benchmarks of a folder, by name."""
    return tuple(_read(path) for path in sorted(folder.glob("bench_*.py")))


def machines(path: Path) -> list[str]:
    """Return which machines a result names, each once: the GPU where there is one, else the processor."""
    found = dict.fromkeys(_told(json.loads(path.read_text(encoding="utf-8"))))
    return list(found)


def index() -> str:
    """Return the index of all evidence in Markdown."""
    rows = []
    for benchmark in benchmarks():
        where = dict.fromkeys(name for path in benchmark.results for name in machines(path))
        rows.append(
            (
                benchmark.summary,
                f"`{benchmark.command}`",
                "; ".join(where) or "not run yet",
                ", ".join(f"`{path.relative_to(ROOT / 'benchmarks')}`" for path in benchmark.results),
                _link(benchmark.page),
            )
        )
    return table(("Shows", "Command", "Machine", "JSON", "Page"), rows, right=0)


def fill_index(page: Path = PAGE) -> None:
    """Write the index into the page on benchmarks."""
    write_text(page, fill_between(page.read_text(encoding="utf-8"), index(), part=PART))


def _read(path: Path) -> Benchmark:
    text = path.read_text(encoding="utf-8")
    summary = (ast.get_docstring(ast.parse(text)) or "").splitlines()[0].partition(": ``python")[0]
    named = dict.fromkeys(_RESULT.findall(text))
    results = [
        found for name in named for found in sorted((_HERE / "results").glob(f"{name.rstrip('_')}*.json"))
    ]
    page = _PAGE.search(text)
    return Benchmark(
        path.stem.removeprefix("bench_"),
        summary.rstrip("."),
        tuple(dict.fromkeys(results)),
        page[1] if page else None,
    )


def _told(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        machine = value.get("machine")
        if isinstance(machine, Mapping):
            yield gpus_of(machine) if machine.get("gpus") else cores_of(machine)
        for entry in value.values():
            yield from _told(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _told(entry)


def _link(page: str | None) -> str:
    if page is None:
        return ""
    if page.startswith("docs/"):
        name = page.removeprefix("docs/")
        return f"[{name.removesuffix('.md')}]({name})"
    return f"`{page}`"
