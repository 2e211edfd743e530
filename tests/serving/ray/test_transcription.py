"""A small job with every kind of fault: each good clip comes out once, each bad one by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
pytest.importorskip("onnxruntime")

from benchmarks.bench_many_clips import run
from benchmarks.many_clips.clips import Mixture
from tests.bundled import CALIBRATION_SET, MODEL
from trtforge.cli import main
from trtforge.errors import ConfigError, ExecutionError, ModelError, NoGpuError
from trtforge.serving.ray import (
    ListedClip,
    ManySettings,
    Recogniser,
    list_clips,
    read_results,
    transcribe_many,
)

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


@pytest.fixture(scope="module")
def counted(cluster: object, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run a job whose tasks hold two batches each."""
    mixture = Mixture(good=24, twins=2, bad_audio=5, crash=0, lost=1, fail=1)
    return run(mixture, tmp_path_factory.mktemp("many"), batch_size=4)


def test_every_good_clip_comes_out_once_with_its_words(counted: dict[str, Any]) -> None:
    assert counted["missing"] == counted["repeated"] == counted["wrong_text"] == []
    assert counted["codes"]["good"] == {"text": 24}
    assert counted["codes"]["twin"] == {"text": 2}
    assert counted["lines"] == 31, "a twin shares the line of the clip whose file it has"


def test_every_bad_clip_is_named_with_the_reason(counted: dict[str, Any]) -> None:
    assert counted["wrong_code"] == []
    assert counted["codes"]["lost"] == {"poisoned": 1}
    assert counted["codes"]["fail"] == {"exception": 1}
    kinds = ("empty", "text", "truncated", "nan", "short")
    assert {kind: counted["codes"][kind] for kind in kinds} == {kind: {"clip": 1} for kind in kinds}
    assert counted["first_run"]["errors"] == {"clip": 5, "exception": 1, "poisoned": 1}


def test_a_second_run_finds_all_done(counted: dict[str, Any]) -> None:
    second = counted["second_run"]
    assert (second["num_clips"], second["num_files"], second["num_done_before"]) == (33, 31, 31)
    assert (second["num_transcribed"], second["errors"]) == (0, {})


def test_a_job_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    clips = list_clips(CALIBRATION_SET)[:6]
    transcribe_many(clips[:2], MODEL, tmp_path)
    path = tmp_path / "results.jsonl"
    path.write_bytes(path.read_bytes() + b'{"digest": "half a li')
    gone = ListedClip("gone", str(tmp_path / "gone.wav"))
    report = transcribe_many([*clips, gone], MODEL, tmp_path)
    assert (report.num_done_before, report.num_transcribed, report.errors) == (2, 4, {"clip": 1})
    results = read_results(tmp_path)
    assert set(results) == {*(clip.id for clip in clips), "gone"}
    assert "cannot read the file" in results["gone"]["error"]


def test_the_command_writes_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clips").mkdir()
    source = sorted((CALIBRATION_SET / "audio").iterdir())[0]
    (tmp_path / "clips/one.ogg").write_bytes(source.read_bytes())
    (tmp_path / "clips/two.wav").write_text("no audio")
    words = ["transcribe-many", str(MODEL), str(tmp_path / "clips"), "-o", str(tmp_path / "out")]
    assert main(words) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "2 clips in 2 files: 1 transcribed, 0 done before, failed: 1 clip" in out
    assert read_results(tmp_path / "out")["one.ogg"]["text"].startswith("che")


class Unable(Recogniser):
    """Cannot load its network on this machine."""

    def __init__(self, **given: Any) -> None:
        raise ModelError("the network is not on this machine")


def test_a_job_that_cannot_run_says_why(tmp_path: Path) -> None:
    clips = list_clips(CALIBRATION_SET)[:1]
    with pytest.raises(ExecutionError, match=r"after 0 of 1 files: .*the network is not on this machine"):
        transcribe_many(clips, MODEL, tmp_path, recogniser=Unable)


def test_an_engine_needs_a_gpu_in_the_cluster(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from tests.serving.triton.engines import built, saved

    clips = list_clips(CALIBRATION_SET)[:1]
    engine = saved(tmp_path, built())
    with pytest.raises(ConfigError, match="batch_size 8 exceeds what the engine's profiles accept: 4"):
        transcribe_many(clips, MODEL, tmp_path / "out", engine=engine)
    small = ManySettings(batch_size=4)
    with pytest.raises(NoGpuError, match="a GPU is needed to run the engine, and Ray's cluster has none"):
        transcribe_many(clips, MODEL, tmp_path / "out", engine=engine, settings=small)
    with pytest.raises(ConfigError, match="two clips have the same id"):
        transcribe_many([*clips, *clips], MODEL, tmp_path / "out")
