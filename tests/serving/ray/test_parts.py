"""What a job is made of, each part alone and without Ray."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.bundled import CALIBRATION_SET
from trtforge.audio import LogMel
from trtforge.errors import ClipSetError, ConfigError
from trtforge.serving.ray import ListedClip, ManySettings, list_clips, read_results
from trtforge.serving.ray.attempts import Attempts
from trtforge.serving.ray.cluster import ray_here
from trtforge.serving.ray.decoding import decode_rows, decode_table, digest_files
from trtforge.serving.ray.results import ResultsFile


def row(digest: str, *ids: str, retryable: bool = False) -> dict[str, object]:
    return {"digest": digest, "ids": list(ids), "text": "", "error_code": "", "retryable": retryable}


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_told_at_once(scheme: str) -> None:
    ray = pytest.importorskip("ray")
    if ray.is_initialized():
        pytest.skip("this process is part of a cluster")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nothing listens there
        address = f"{scheme}127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"no Ray cluster answers at {address}: .*refused"):
            ray_here("test", address=address)


def test_attempts_count_what_never_ended() -> None:
    attempts = Attempts()
    assert [attempts.begin("a"), attempts.begin("b"), attempts.begin("a")] == [0, 0, 1]
    attempts.finish("b")
    assert attempts.begin("b") == 0
    assert attempts.unfinished() == {"a": 2, "b": 1}


def test_results_survive_a_line_cut_short(tmp_path: Path) -> None:
    with ResultsFile(tmp_path, "net") as results:
        results.append([row("d1", "a", "b"), row("d2", "c", retryable=True), row("", "e")])
        with pytest.raises(ConfigError, match="another process writes results to"):
            ResultsFile(tmp_path, "net")
    path = tmp_path / "results.jsonl"
    path.write_bytes(path.read_bytes() + b'{"digest"')
    assert set(read_results(tmp_path)) == {"a", "b", "c", "e"}
    with ResultsFile(tmp_path, "net") as results:
        assert set(results.done) == {"d1"}, "what may succeed later is run again, and what was never read"
    assert set(read_results(tmp_path)) == {"a", "b"}
    with pytest.raises(ConfigError, match="no results at"):
        read_results(tmp_path / "elsewhere")


def test_a_file_that_is_done_names_the_clips_that_came_later_too(tmp_path: Path) -> None:
    with ResultsFile(tmp_path, "net") as results:
        results.append([row("d1", "a"), row("d2", "b")])
    with ResultsFile(tmp_path, "net") as results:
        results.add_ids({"d1": ["twin", "a"], "d3": ["new"]})
    assert {name: found["digest"] for name, found in read_results(tmp_path).items()} == {
        "a": "d1", "twin": "d1", "b": "d2",
    }  # fmt: skip
    assert (tmp_path / "results.jsonl").read_bytes().count(b"\n") == 2


def test_results_of_another_network_are_not_taken_for_those_of_this_one(tmp_path: Path) -> None:
    with ResultsFile(tmp_path, "net") as results:
        results.append([row("d1", "a")])
    before = (tmp_path / "results.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="are those of another network or engine"):
        ResultsFile(tmp_path, "other")
    assert (tmp_path / "results.jsonl").read_bytes() == before
    with ResultsFile(tmp_path, "net") as results:  # the folder is not held any more
        assert set(results.done) == {"d1"}


@pytest.mark.parametrize("line", [b"[]", b"{}", b"no JSON", b"\xff"])
def test_a_file_that_holds_no_results_is_left_as_it_is(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(line + b"\n")
    for read in (lambda: read_results(tmp_path), lambda: ResultsFile(tmp_path, "net")):
        with pytest.raises(ConfigError, match=r"results\.jsonl:1 is no result"):
            read()
    assert path.read_bytes() == line + b"\n"


def test_names_of_files_that_are_no_utf8_come_back(tmp_path: Path) -> None:
    with ResultsFile(tmp_path, "net") as results:
        results.append([row("d1", "\udcff.wav", "\u00e4.wav")])
    assert set(read_results(tmp_path)) == {"\udcff.wav", "\u00e4.wav"}


def test_clips_are_listed_by_manifest_or_by_suffix(tmp_path: Path) -> None:
    listed = list_clips(CALIBRATION_SET)
    assert listed[0].id == "podcast_en-000"
    assert Path(listed[0].path).is_file()
    (tmp_path / "deep").mkdir()
    for name in ("b.WAV", "deep/a.flac", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    assert [clip.id for clip in list_clips(tmp_path)] == ["b.WAV", "deep/a.flac"]
    (tmp_path / "deep/a.flac").unlink()
    with pytest.raises(ClipSetError, match="no audio file below"):
        list_clips(tmp_path / "deep")
    with pytest.raises(ClipSetError, match="there is no such folder or manifest"):
        list_clips(tmp_path / "none")


def test_links_that_lead_nowhere_are_listed_and_become_rows(tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    targets = {
        "good.wav": "clip.wav",
        "gone.wav": "moved/clip.wav",
        "loop.wav": "loop.wav",
        "deep.wav": "folder",
    }
    for name, target in targets.items():
        (tmp_path / name).symlink_to(target)
    listed = list_clips(tmp_path)
    assert [clip.id for clip in listed] == ["clip.wav", "gone.wav", "good.wav", "loop.wav"]
    reasons = {clip.id: reason for clip, (_, reason) in zip(listed, digest_files(listed), strict=True)}
    assert (reasons["clip.wav"], reasons["good.wav"]) == ("", "")
    assert reasons["gone.wav"].startswith("clip 'gone.wav': cannot read the file: [Errno 2] No such file")
    assert "symbolic links" in reasons["loop.wav"]


def test_bad_audio_becomes_a_row(tmp_path: Path) -> None:
    pytest.importorskip("librosa")
    tone = 0.1 * np.sin(np.arange(16_000) / 5)
    soundfile.write(tmp_path / "good.wav", tone, 16_000)
    soundfile.write(tmp_path / "short.wav", tone[:1], 16_000)
    (tmp_path / "bad.wav").write_text("no audio")
    clips = [ListedClip(name, str(tmp_path / f"{name}.wav")) for name in ("good", "short", "bad", "gone")]
    digests = digest_files(clips)
    assert [bool(digest) for digest, _ in digests] == [True, True, True, False]
    assert "clip 'gone': cannot read the file" in digests[3][1]
    columns = {
        "id": [clip.id for clip in clips[:3]],
        "digest": ["d1", "d2", "d3"],
        "path": [clip.path for clip in clips[:3]],
    }
    rows = decode_rows(columns, LogMel(min_frames=8))
    assert rows["error_code"] == ["", "clip", "clip"]
    assert rows["shape"][0] == f"80,{rows['num_frames'][0]}"
    assert len(rows["features"][0]) == 4 * 80 * rows["num_frames"][0]
    assert "1 samples at 16000 Hz, the features need" in rows["error"][1]
    arrow = pytest.importorskip("pyarrow")
    table = decode_table(arrow.table(columns), LogMel(min_frames=8))
    assert table.to_pydict() == rows


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batches_in_task": 0}, "batches_in_task must be 1 or more, got 0"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"min_actors": 3, "max_actors": 2}, "max_actors 2 is below min_actors 3"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ManySettings(**settings)


def test_a_task_of_nothing_but_poison_can_end() -> None:
    assert ManySettings(batch_size=8, batches_in_task=3, max_deaths=2).max_task_retries == 3 * 18


@pytest.mark.parametrize(
    ("num_clips", "num_cores", "size"),
    [(1, 32, 8), (100, 32, 8), (512, 32, 8), (1025, 32, 16), (4096, 32, 64), (1_000_000, 32, 64), (33, 2, 8)],
)
def test_tasks_grow_once_every_core_has_two(num_clips: int, num_cores: int, size: int) -> None:
    assert ManySettings(batch_size=8).task_size(num_clips, num_cores) == size
