"""Pages and JSON that benchmarks write: a generated part between markers, one line for each row of a list."""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtforge._files import write_text
from trtforge.errors import ConfigError, ReportError, TrtforgeError

ROOT = Path(__file__).parents[1]

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def fill_between(page: str, text: str, *, part: str = "table") -> str:
    """Replace what stands between the markers of a part.

    Raises
    ------
    ConfigError : the page does not have each marker once, in order.
    """
    first, last = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end) or first in rest or last in before + after:
        raise ConfigError(
            f"the page must hold {first} and after it {last}, each once",
            hint="put both on lines of their own where the tables belong",
        )
    return f"{before}{first}\n\n{text}\n\n{last}{after}"


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], *, right: int) -> str:
    """Set a Markdown table whose last ``right`` columns are numbers."""
    marks = ["---"] * (len(heading) - right) + ["---:"] * right
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (heading, marks, *rows))


def sections(parts: Iterable[tuple[str, str]]) -> str:
    """Set titled parts in Markdown, those without text left out."""
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in parts if text)


def load_result(path: Path, *, kind: str, module: str) -> dict[str, Any]:
    """Read a result that a benchmark wrote.

    Parameters
    ----------
    path : the JSON.
    kind : the format that it must name.
    module : the benchmark, for the hint.

    Raises
    ------
    ReportError : the file is missing or is not such a result.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"no result at {path}", hint=f"python -m {module}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReportError(f"{path} is not a result of this benchmark: {error}") from error
    if not isinstance(value, dict) or value.get("format") != kind:
        raise ReportError(f'{path} is not a result of this benchmark: it lacks "format": "{kind}"')
    return value


def to_text(result: Mapping[str, Any]) -> str:
    """Return JSON with one line for each row of a list, so that a change of numbers reads well as a diff.

    JSON has no numbers that are not finite: each is written as null, and a ``RuntimeWarning`` names them.
    """
    result, lost = only_finite(result)
    if lost:
        warnings.warn(f"written as null: {', '.join(lost)}", RuntimeWarning, stacklevel=2)
    parts = []
    for key, value in result.items():
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = (json.dumps(row, allow_nan=False, ensure_ascii=False) for row in value)
            text = "[\n    " + ",\n    ".join(rows) + "\n  ]"
        parts.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def only_finite(result: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a result with None for numbers that are not finite, and these as ``rows[2].snr_db is nan``."""
    lost: list[str] = []

    def taken(value: Any, place: str) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            lost.append(f"{place} is {value}")
            return None
        if isinstance(value, dict):
            return {key: taken(item, f"{place}.{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            items = [taken(item, f"{place}[{index}]") for index, item in enumerate(value)]
            return items if isinstance(value, list) else tuple(items)
        return value

    return {key: taken(value, key) for key, value in result.items()}, lost


@dataclass(frozen=True)
class Publication:
    """Where a benchmark with a page puts what it finds: measure, write JSON, plot, fill the page.

    Parameters
    ----------
    module : the benchmark's dotted name.
    kind : format of its JSON.
    result, page : the published JSON and page.
    tables : makes the page's generated part of a result.
    plot, draw : the published SVG, and what makes it of a result; None where there is none.
    """

    module: str
    kind: str
    result: Path
    page: Path
    tables: Callable[[Mapping[str, Any]], str]
    plot: Path | None = None
    draw: Callable[[Mapping[str, Any]], str] | None = None

    def load(self, path: Path) -> dict[str, Any]:
        """Read a result.

        Raises
        ------
        ReportError : the file is missing or is not such a result.
        """
        return load_result(path, kind=self.kind, module=self.module)

    def fill(self, page: str, result: Mapping[str, Any]) -> str:
        """Replace the generated part of a page.

        Raises
        ------
        ConfigError : the page does not have each marker once, in order.
        """
        return fill_between(page, self.tables(result))

    def add_options(self, parser: argparse.ArgumentParser, *, has_limit: bool = True) -> None:
        """Take the paths, ``--redraw``, and ``--limit`` where the benchmark is one of clips."""
        for option, path, text in (
            ("--output", self.result, "the JSON"),
            ("--plot", self.plot, "the SVG"),
            ("--page", self.page, "the page whose tables are replaced"),
        ):
            if path is not None:
                said = f"{text} (default: {shown(path)})"
                parser.add_argument(option, type=Path, metavar="PATH", help=said)
        if has_limit:
            parser.add_argument(
                "--limit", type=_positive, metavar="N", help="at most N clips, for a trial; writes to out/"
            )
        parser.add_argument(
            "--redraw", action="store_true", help="measure nothing; use the JSON that is there"
        )

    def run(self, args: argparse.Namespace, measure: Callable[[Path], dict[str, Any]]) -> int:
        """Measure unless told to redraw, write JSON, plot and page, and return the exit status.

        A run on a few clips does not replace published numbers, and another JSON than the published one no
        published plot or page, unless told to. Where a number is not finite, the JSON is written and the rest
        is not.

        Parameters
        ----------
        args : what the options of `add_options` took.
        measure : makes the result; given the path of the JSON, which may be there from before.
        """
        whole = getattr(args, "limit", None) is None or args.redraw
        output: Path = args.output or (self.result if whole else ROOT / "out" / self.result.name)
        published = output.resolve() == self.result.resolve()
        plot = None
        if self.plot is not None:
            plot = args.plot or (self.plot if published else output.with_suffix(".svg"))
        page = args.page or (self.page if published else None)
        try:
            if not args.redraw:
                measured, lost = only_finite(measure(output))
                write_text(output, to_text(measured))
                if lost:
                    raise ReportError(
                        f"{', '.join(lost)}: null in {shown(output)}, and no plot or page was made",
                        hint="--redraw makes them of that file as it is",
                    )
            result = self.load(output)
            if plot is not None and self.draw is not None:
                write_text(plot, self.draw(result))
            if page is not None:
                write_text(page, self.fill(page.read_text(encoding="utf-8"), result))
        except TrtforgeError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        print(*map(shown, filter(None, (output, plot, page))), sep="\n")
        return 0


def shown(path: Path) -> str:
    """Write a path from the repository's root where it lies in there."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed, got {number}")
    return number
