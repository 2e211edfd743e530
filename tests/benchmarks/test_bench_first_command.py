import json
from pathlib import Path

import pytest

from benchmarks.bench_first_command import README, RESULT, readme_command, seconds_and_library


def test_the_command_is_the_readmes():
    words = readme_command()
    assert words[0] == "compile"
    assert [Path(word).exists() for word in words[1:] if not word.startswith("--")] == [True, True, True]


def test_the_readme_tells_the_measured_time():
    seconds = json.loads(RESULT.read_text(encoding="utf-8"))["median_seconds"]
    assert f"[took](benchmarks/results/{RESULT.name}) {seconds:.0f} s" in README.read_text(encoding="utf-8")


def test_a_run_tells_its_time_and_who_built_the_engine():
    pytest.importorskip("tensorrt_rtx")
    lengths = ["--precision", "float32", "--frames", "64", "128"]
    seconds, library = seconds_and_library(["compile", readme_command()[1], *lengths])
    assert seconds > 0
    assert library.startswith("tensorrt")
