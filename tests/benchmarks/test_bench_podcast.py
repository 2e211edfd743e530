"""The page's paragraph says what the result holds."""

from pathlib import Path

import pytest

pytest.importorskip("msgspec")
pytest.importorskip("soundfile")

import soundfile

from benchmarks.bench_podcast import PAGE, memory_summary, summary, write_recording

RESULT = {
    "audio_seconds": 309.4,
    "stage_seconds": {"decode": 0.25, "transcribe": 4.5},
    "total_seconds": 5.0,
    "words": {"hits": 90, "substitutions": 8, "deletions": 2, "insertions": 0},
    "chapters": {"reference": 7, "found": 8, "near": 5, "near_seconds": 5.0},
    "translations": {"es": {"terms": 20, "kept": 19}},
    "checks": {"passed": 16, "failed": 0},
    "run": {
        "command": "python -m benchmarks.bench_podcast",
        "date": "2026-01-31",
        "machine": {"processor": "a processor", "num_cpus": 2},
    },
}


def test_counts_become_rates() -> None:
    text = summary(RESULT)
    assert "10 word errors in 100 words (10.0 %)" in text
    assert "5 of the 6 turns" in text
    assert "(es) 19 of 20 glossary terms" in text
    assert "| transcribe | 4.50 |" in text


def test_the_page_has_each_section_once() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for section in ("measured", "memory"):
        assert page.count(f"<!-- {section}: begin -->") == page.count(f"<!-- {section}: end -->") == 1


def test_peaks_are_told_by_length() -> None:
    runs = [
        {"minutes": 10.0, "sentences": 120, "peak_bytes": 400 * 2**20, "largest_child_bytes": 0},
        {"minutes": 180.0, "sentences": 2200, "peak_bytes": 500 * 2**20, "largest_child_bytes": 91 * 2**20},
    ]
    text = memory_summary({"runs": runs, "run": RESULT["run"]})
    assert "10 minutes (120 sentences): 400 MiB; 180 minutes (2200 sentences): 500 MiB, and 91 MiB in" in text


def test_a_long_recording_has_the_length_asked_for(tmp_path: Path) -> None:
    write_recording(tmp_path / "long.wav", 6.5)
    assert soundfile.info(tmp_path / "long.wav").frames == 390 * 16_000
