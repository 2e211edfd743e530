"""Pages and JSON that benchmarks write: a generated part between markers, one line for each row of a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trtforge.errors import ConfigError, ReportError

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


def to_text(result: dict[str, Any]) -> str:
    """Return JSON with one line for each row of a list, so that a change of numbers reads well as a diff."""
    parts = []
    for key, value in result.items():
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = (json.dumps(row, allow_nan=False, ensure_ascii=False) for row in value)
            text = "[\n    " + ",\n    ".join(rows) + "\n  ]"
        parts.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
