"""The part of the page on the engines that were timed to find the fastest precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fastest_section(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return why an engine was kept, and the time of each that was tried at each shape."""
    story = report.get("fastest")
    if not story:
        return None
    shapes = list(dict.fromkeys(shape for trial in story["tried"] for shape in trial["shapes"]))
    rows = [
        {
            "way": trial["way"],
            "chosen": trial["way"] == story["chosen"],
            "error": f"not built: {trial['error']}" if trial["error"] else "",
            "times": [_share(trial["shapes"].get(shape)) for shape in shapes],
        }
        for trial in story["tried"]
    ]
    return {"reason": story["reason"], "shapes": shapes, "rows": rows}


def _share(spread: list[float] | None) -> str:
    if spread is None:
        return ""
    low, median, high = (100 * value for value in spread)
    return f"{median:.0f} % ({low:.0f} to {high:.0f})"
