"""The page's paragraph says what the result holds."""

import pytest

pytest.importorskip("msgspec")
pytest.importorskip("soundfile")

from benchmarks.bench_podcast_live import PAGE, RESULT, fill, latencies, load, summary
from examples.podcast.records import Segment
from examples.podcast_live import Heard
from examples.podcast_live.listening import Latency
from trtforge.errors import ReportError


def test_percentiles_are_those_of_the_updates() -> None:
    heard = Heard(
        30.0,
        (Segment(0.0, 1.0, "Hello there.", ()),) * 3,
        latencies=(
            *(Latency("text", float(at), at / 100, 0.4 + at / 100) for at in range(1, 102)),
            *(Latency("points", 10.0 * at, at / 5) for at in range(1, 9)),
        ),
    )
    found = latencies(heard)
    assert found["text"] == {"count": 101, "p50_ms": 510.0, "p95_ms": 960.0, "max_ms": 1010.0}
    assert found["after_speech"]["p50_ms"] == 910.0
    assert found["points"] == {"count": 8, "p50_ms": 900.0, "max_ms": 1600.0}
    run = {
        "command": "python -m benchmarks.bench_podcast_live",
        "date": "2026-01-31",
        "machine": {"processor": "a processor", "num_cpus": 2},
    }
    text = summary(found | {"run": run})
    assert text.startswith("30 s of the demo episode in real time, 3 sentences: the words")
    assert "took p50 510 ms, p95 960 ms, and were there p50 910 ms" in text
    assert "(central sentences) took p50 900 ms, at most 1600 ms in 8 updates. Measured by" in text


def test_the_page_and_the_result_agree() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, load(RESULT)) == page


def test_too_little_to_time_is_said() -> None:
    with pytest.raises(ReportError, match="in 4 s of the episode nothing was there to be timed as 'text'"):
        latencies(Heard(4.0, (), latencies=()))
