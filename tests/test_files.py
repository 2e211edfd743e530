"""Files are replaced whole or not at all."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trtforge._files import file_sha256, locked, save_or_keep, sha256, write_bytes, write_json


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert file_sha256(path) == sha256(b"two")


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_finds_no_room_is_kept_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, temporary = tmp_path / "full", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def save(path: Path) -> None:
        if full in path.parents or not temporary.is_dir():
            raise OSError(28, "No space left on device", str(path))
        write_bytes(path, b"engine")

    with pytest.raises(OSError, match="what was made is kept as") as found:
        save_or_keep(save, full / "asr.engine")
    (kept,) = temporary.glob("*/asr.engine")
    assert kept.read_bytes() == b"engine"
    assert f"kept as {kept}, and not as: '{full / 'asr.engine'}'" in str(found.value)
    save_or_keep(save, tmp_path / "asr.engine")
    assert (tmp_path / "asr.engine").is_file()


def test_what_finds_no_room_anywhere_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def save(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(OSError, match=r"No space left on device: .out/asr\.engine."):
        save_or_keep(save, "out/asr.engine")
    assert list(tmp_path.iterdir()) == []


def test_files_have_the_mode_that_the_process_gives_whatever_other_threads_write(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda index: write_bytes(tmp_path / f"{index}", b"x"), range(200)))
        modes = {entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()}
        assert modes == {0o640}
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_json_refuses_what_json_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_held_once_and_freed_when_its_holder_dies(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locked(lock), pytest.raises(TimeoutError, match="lock is held by another"), locked(lock, wait_s=0):
        pass
    code = (
        f"from trtforge._files import locked\nwith locked({str(lock)!r}): print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(TimeoutError), locked(lock, wait_s=0.1):
        pass
    threading.Timer(0.2, holder.kill).start()
    with locked(lock):
        assert holder.wait(10) == -signal.SIGKILL
    holder.communicate()
