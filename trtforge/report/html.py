"""Make the HTML page from the report's JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trtforge._optional import require
from trtforge.errors import ReportError
from trtforge.report.accuracy import accuracy_section, worst_section
from trtforge.report.activations import activations_section
from trtforge.report.audit import audit_section
from trtforge.report.build import engine_section, layers_section, provenance_section, timings_section
from trtforge.report.fastest import fastest_section
from trtforge.report.header import header_section
from trtforge.report.plots import Plots
from trtforge.report.proof import proof_section

FORMAT = "trtforge.report/1"

# Control characters but tab and newline, marks that turn the direction of what follows, lone surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def render_html(report: Mapping[str, Any]) -> str:
    """Render a report as one HTML page that needs nothing else: no network, no scripts, no other files.

    The page is a pure function of the values: plots are drawn as inline SVG, sections whose part is missing
    or None are left out, and every text is escaped.

    Parameters
    ----------
    report : what ``report.json`` holds, with ``"format": "trtforge.report/1"``.

    Raises
    ------
    ReportError : the values are of another format, or a part of them is damaged.
    MissingExtraError : jinja2 or matplotlib is not installed.
    """
    if not isinstance(report, Mapping) or report.get("format") != FORMAT:
        raise ReportError(f'this is not a report: it lacks "format": "{FORMAT}"')
    jinja2 = require("jinja2", "render the report")
    values, plots = _clean(report), Plots()
    try:
        return render_template(
            Path(__file__).parent / "page.html",
            {
                "header": header_section(values),
                "accuracy": accuracy_section(values, plots),
                "worst": worst_section(values),
                "activations": activations_section(values, plots),
                "audit": audit_section(values, plots),
                "layers": layers_section(values),
                "proof": proof_section(values),
                "fastest": fastest_section(values),
                "engine": engine_section(values),
                "timings": timings_section(values),
                "provenance": provenance_section(values),
            },
        )
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        jinja2.UndefinedError,
    ) as error:
        raise ReportError(f"the report is damaged: {error!r}") from error


def render_template(template: Path, values: Mapping[str, Any]) -> str:
    """Fill a template; every text is escaped, and what it includes may lie beside it or here.

    Parameters
    ----------
    template : the file.
    values : what it names; a name without a value is an error.

    Raises
    ------
    MissingExtraError : jinja2 is not installed.
    """
    jinja2 = require("jinja2", "render the page")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return str(environment.get_template(template.name).render(_clean(values)))


def _clean(value: Any) -> Any:
    """Copy plain values; control characters, lone surrogates and direction marks in texts are replaced."""
    if isinstance(value, str):
        return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, Mapping):
        return {_clean(str(key)): _clean(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(entry) for entry in value]
    return value
