"""What the benchmark of many clips published: nothing lost, nothing doubled, and the page says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bundled import ROOT

pytest.importorskip("soundfile")

from benchmarks.bench_many_clips import EXPECTED_CODE, FULL, page_text


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks/results/many_clips.json").read_text())


def test_every_clip_came_out_once_as_it_should(result: dict[str, Any]) -> None:
    assert sum(result["clips"].values()) == FULL.num_clips == 1000
    for name in ("missing", "repeated", "wrong_code", "wrong_text"):
        assert result[name] == []
    assert result["codes"] == {
        kind: {EXPECTED_CODE[kind] or "text": count} for kind, count in result["clips"].items()
    }
    files = result["first_run"]["num_files"]
    assert result["lines"] == result["second_run"]["num_done_before"] == files < 1000 - FULL.twins


def test_the_page_has_the_counts(result: dict[str, Any]) -> None:
    assert page_text(result) in (ROOT / "docs/ray.md").read_text()
