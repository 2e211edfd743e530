from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from trtforge.audio import ClipSet
from trtforge.audio.manifest import ManifestEntry, read_manifest
from trtforge.errors import ClipSetError

GOOD = '{"id": "a", "path": "a.wav"}'


def write(folder: Path, *lines: str) -> Path:
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines), encoding="utf-8")
    return manifest


def test_lines_become_entries(tmp_path: Path) -> None:
    whole = {
        "id": "b",
        "path": "sub/b.ogg",
        "text": "",
        "duration": 2,
        "num_samples": 32_000,
        "sampling_rate": 16_000,
        "sha256": "AB" * 32,
        "license": "CC0-1.0",
        "strata": {"noise": "hum"},
        "speaker": {"anything": [1]},
    }
    assert read_manifest(write(tmp_path, "\ufeff" + GOOD, "", json.dumps(whole), "  ")) == (
        ManifestEntry(1, "a", "a.wav"),
        ManifestEntry(3, "b", "sub/b.ogg", "", 2, 32_000, 16_000, "ab" * 32, "CC0-1.0", {"noise": "hum"}),
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not a JSON object: Expecting property name"),
        ("[" * 100_000, "line 2: not a JSON object: "),
        ('["a.wav"]', "line 2: not a JSON object but list"),
        ('{"path": "b.wav"}', "line 2: the key 'id' is missing"),
        ('{"id": "b"}', "line 2: the key 'path' is missing"),
        ('{"id": 7, "path": "b.wav"}', "line 2: 'id' must be text that is not empty, got 7"),
        ('{"id": "b", "path": ""}', "line 2: 'path' must be text that is not empty, got ''"),
        (
            '{"id": "b", "path": "b\\u0000.wav"}',
            "line 2: 'path' must be text that is not empty, got 'b\\x00.wav'",
        ),
        ('{"id": "a", "path": "b.wav"}', "line 2: id 'a' was used before, on line 1"),
        ('{"id": "b", "path": "../b.wav"}', "line 2: path '../b.wav' leaves the manifest's folder"),
        ('{"id": "b", "path": "x/../../b.wav"}', "line 2: path 'x/../../b.wav' leaves the manifest's folder"),
        ('{"id": "b", "path": "/etc/passwd"}', "line 2: path '/etc/passwd' leaves the manifest's folder"),
        (
            '{"id": "b", "path": "b", "duration": NaN}',
            "line 2: 'duration' must be a number of seconds from 0 to 1000000, got nan",
        ),
        (
            '{"id": "b", "path": "b", "duration": -1}',
            "line 2: 'duration' must be a number of seconds from 0 to 1000000, got -1",
        ),
        (
            '{"id": "b", "path": "b", "duration": 1' + 400 * "0" + "}",
            "line 2: 'duration' must be a number of seconds from 0 to 1000000, got 1" + 79 * "0",
        ),
        (
            '{"id": "b", "path": "b", "duration": 1e308}',
            "line 2: 'duration' must be a number of seconds from 0 to 1000000, got 1e+308",
        ),
        (
            '{"id": "b", "path": "b", "num_samples": 1' + 400 * "0" + "}",
            "line 2: 'num_samples' must be a whole number from 0 to 1000000000000, got 1" + 79 * "0",
        ),
        (
            '{"id": "b", "path": "b", "sampling_rate": 1' + 400 * "0" + "}",
            "line 2: 'sampling_rate' must be a whole number of Hz from 1 to 1000000000000, got 1" + 79 * "0",
        ),
        (
            '{"id": "b", "path": "\\ud800.wav"}',
            "line 2: 'path' must be text that is not empty, got '\\ud800.wav'",
        ),
        (
            '{"id": "b", "path": "b", "num_samples": true}',
            "line 2: 'num_samples' must be a whole number from 0 to 1000000000000, got True",
        ),
        (
            '{"id": "b", "path": "b", "sampling_rate": 0}',
            "line 2: 'sampling_rate' must be a whole number of Hz from 1 to 1000000000000, got 0",
        ),
        (
            '{"id": "b", "path": "b", "sha256": "ab"}',
            "line 2: 'sha256' must be 64 hexadecimal digits, got 'ab'",
        ),
        (
            '{"id": "b", "path": "b", "strata": {"snr": 20}}',
            "line 2: 'strata' must be an object of text, such as",
        ),
    ],
)
def test_malformed_lines(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ClipSetError, match=re.escape(message)):
        read_manifest(write(tmp_path, GOOD, line))


def test_links_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (folder / "a.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(ClipSetError, match=r"line 1: path 'a\.wav' leaves the manifest's folder by a link"):
        read_manifest(write(folder, GOOD))


def test_links_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real.wav").write_bytes(b"RIFF")
    (tmp_path / "a.wav").symlink_to(tmp_path / "real.wav")
    assert read_manifest(write(tmp_path, GOOD))[0].path == "a.wav"


def test_missing_and_empty_sets_say_what_a_set_is(tmp_path: Path) -> None:
    what = "a clip set is a folder with manifest.jsonl, one line for each clip"
    with pytest.raises(ClipSetError, match=r"no clip set at .*gone: there is no such folder") as missing:
        ClipSet.load(tmp_path / "gone")
    with pytest.raises(ClipSetError, match=r"the folder has no manifest\.jsonl") as empty_folder:
        ClipSet.load(tmp_path)
    with pytest.raises(ClipSetError, match=r"manifest\.jsonl names no clips") as empty_manifest:
        ClipSet.load(write(tmp_path, "", ""))
    assert all(what in str(caught.value) for caught in (missing, empty_folder, empty_manifest))


def test_a_manifest_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClipSetError, match="is not UTF-8 text"):
        ClipSet.load(tmp_path)
