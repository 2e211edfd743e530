"""What a result must hold so that it can be compared, merged and shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

# A word for what a value is, a mapping of what each key holds, or a list of one of these, for one or more.
Form = Any
# Behind a key: may be missing or null; may be null.
_OPTIONAL, _NULL = "?", "|null"

_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "a whole number": lambda value: type(value) is int and value >= 0,
    "a whole number above 0": lambda value: type(value) is int and value > 0,
    "a number": lambda value: _is_number(value),
    "a number above 0": lambda value: _is_number(value) and value > 0,
    "a list": lambda value: isinstance(value, list),
    "a mapping": lambda value: isinstance(value, dict),
    "anything": lambda value: True,
}

_TIMES: Form = {
    **dict.fromkeys(("p50", "p95", "p99"), "a number above 0"),
    "rounds": ["a number above 0"],
}
_NAMED: Form = {"run": "a whole number", "network": "text"}
_RUN: Form = {
    "machine": {"processor": "anything", "num_cpus": "anything", "gpus": "a list"},
    "config": "a mapping",
}
_ACCURACY: Form = {
    "snr_db": "a mapping",
    "nonfinite": "a whole number",
    "wer?": {"rate": "a number"},
}
_CONTENDER: Form = {
    **_NAMED,
    "contender": "text",
    "versions?": "a mapping",
    "accuracy?": _ACCURACY,
    **dict.fromkeys(("build_s?", "load_s?"), "a number"),
    **dict.fromkeys(("failed?", "left_out?", "accuracy_failed?", "way?"), "text"),
}
_ROW: Form = {
    **_NAMED,
    "contender": "text",
    "batch": "a whole number above 0",
    "frames|null": "a whole number above 0",
    "warm_up?": "a mapping",
}
_TIMED: Form = {
    **_ROW,
    "wall_ms": _TIMES,
    "device_ms|null": _TIMES,
    "rows_per_s": {"median": "a number above 0", "rounds": ["a number above 0"]},
    "rtfx|null": "a number",
    **dict.fromkeys(("energy_j?", "host_bytes?", "device_bytes?"), "a number"),
}


def check_form(result: Mapping[str, Any]) -> None:
    """Hold a result against what is read of it.

    Raises
    ------
    ValueError : a part is missing or of another kind; the message says where it is.
    """
    whole = {"networks": "a list", "contenders": [_CONTENDER], "rows": "a list"}
    _check(result, {"runs": [_RUN], **whole}, "")
    for index, network in enumerate(result["networks"]):
        _check(network, {**_NAMED, "sha256": "text"}, f"networks[{index}]")
    for index, row in enumerate(result["rows"]):
        form = {**_ROW, "failed": "text"} if isinstance(row, dict) and "failed" in row else _TIMED
        _check(row, form, f"rows[{index}]")
    parts = (part for key in ("networks", "contenders", "rows") for part in result[key])
    if any(part["run"] >= len(result["runs"]) for part in parts):
        raise ValueError(f"a part is of a run that is not there; there are {len(result['runs'])}")


def _check(value: Any, form: Form, where: str) -> None:
    if isinstance(form, str):
        if not _KINDS[form](value):
            raise ValueError(f"{where} must be {form}, got {value!r:.40}")
    elif isinstance(form, list):
        _check(value, "a list", where)
        if not value:
            raise ValueError(f"{where} is empty")
        for index, entry in enumerate(value):
            _check(entry, form[0], f"{where}[{index}]")
    else:
        _check(value, "a mapping", where or "it")
        for key, inner in form.items():
            name = key.removesuffix(_OPTIONAL).removesuffix(_NULL)
            if name not in value and not key.endswith(_OPTIONAL):
                raise ValueError(f"{where or 'it'} lacks {name}")
            if key == name or value.get(name) is not None:
                _check(value[name], inner, f"{where}.{name}" if where else name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
