import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.origin import commit_of, cores_of, gpus_of, made_by, versions_of
from benchmarks.pages import BEGIN, END, Publication, to_text

RUN = {
    "command": "python -m x",
    "commit": None,
    "date": "2026-01-01",
    "machine": {"processor": "abacus", "num_cpus": 2, "gpus": []},
    "versions": {"python": "3.11", "numpy": "2.2"},
}


def publication(folder: Path, **more: object) -> Publication:
    (folder / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    (folder / "result.json").write_text('{"format": "x/1", "value": 1}')
    return Publication(
        "benchmarks.x",
        "x/1",
        folder / "result.json",
        folder / "page.md",
        lambda row: f"it is {row['value']}",
        **more,
    )


def arguments(made: Publication, *words: str, has_limit: bool = False) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    made.add_options(parser, has_limit=has_limit)
    return parser.parse_args(words)


def test_a_page_without_a_plot_is_measured_and_redrawn(tmp_path, capsys):
    made = publication(tmp_path)
    asked = []

    def measure(path):
        asked.append(path)
        return {"format": "x/1", "value": 2}

    assert made.run(arguments(made, "--redraw"), measure) == 0
    assert "it is 1" in made.page.read_text()
    assert made.run(arguments(made), measure) == 0
    assert asked == [made.result]
    assert "it is 2" in made.page.read_text()
    assert capsys.readouterr().out.splitlines()[-2:] == [str(made.result), str(made.page)]
    assert not list(tmp_path.glob("*.svg"))


def test_another_json_touches_nothing_published(tmp_path):
    made = publication(tmp_path, plot=tmp_path / "plot.svg", draw=lambda row: f"<svg>{row['value']}</svg>")
    other = tmp_path / "trial" / "other.json"
    words = ("--output", str(other))
    assert made.run(arguments(made, *words), lambda _: {"format": "x/1", "value": 3}) == 0
    assert "old" in made.page.read_text()
    assert not made.plot.exists()
    assert (tmp_path / "trial" / "other.svg").read_text() == "<svg>3</svg>"
    assert made.run(arguments(made, *words, "--redraw", "--page", str(made.page)), lambda _: {}) == 0
    assert "it is 3" in made.page.read_text()


def test_a_result_of_another_benchmark_is_refused(tmp_path, capsys):
    made = publication(tmp_path)
    made.result.write_text('{"format": "y/1"}')
    assert made.run(arguments(made, "--redraw", has_limit=True), lambda _: {}) == 1
    assert 'it lacks "format": "x/1"' in capsys.readouterr().err


def test_numbers_that_are_not_finite_are_null_in_the_json_and_named():
    result = {
        "format": "x/1",
        "rows": [{"snr_db": 3.5}, {"snr_db": math.inf, "wer": {"en": np.float64("nan")}}],
        "seconds": (0.5, -math.inf),
    }
    named = r"written as null: rows\[1\].snr_db is inf, rows\[1\].wer.en is nan, seconds\[1\] is -inf"
    with pytest.warns(RuntimeWarning, match=f"^{named}$"):
        text = to_text(result)
    assert json.loads(text) == {
        "format": "x/1",
        "rows": [{"snr_db": 3.5}, {"snr_db": None, "wer": {"en": None}}],
        "seconds": [0.5, None],
    }
    assert '    {"snr_db": 3.5},\n' in text
    assert math.isinf(result["rows"][1]["snr_db"])


def test_a_measurement_with_a_number_that_is_not_finite_is_kept_and_not_published(tmp_path, capsys):
    made = publication(tmp_path)
    measured = {"format": "x/1", "value": 7, "snr_db": math.nan}
    assert made.run(arguments(made), lambda _: measured) == 1
    assert capsys.readouterr().err == (
        f"error: snr_db is nan: null in {made.result}, and no plot or page was made\n"
        "hint: --redraw makes them of that file as it is\n"
    )
    assert json.loads(made.result.read_text()) == {"format": "x/1", "value": 7, "snr_db": None}
    assert "old" in made.page.read_text()
    assert made.run(arguments(made, "--redraw"), lambda _: {}) == 0
    assert "it is 7" in made.page.read_text()


def test_where_numbers_are_from_in_words():
    assert made_by(RUN) == "`python -m x` at commit `unknown` on 2026-01-01"
    assert commit_of({"commit": "0123456789abcdef"}) == "0123456789ab"
    assert (cores_of(RUN["machine"]), gpus_of(RUN["machine"])) == ("2 cores of abacus", "no GPU")
    assert gpus_of({"gpus": ["a", "b"]}) == "a, b"
    assert versions_of(RUN) == "python 3.11, numpy 2.2"
