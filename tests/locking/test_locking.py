"""What drifts from a lock is named with what was locked, what is here, and what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.test_artifact import ENGINE
from trtforge._files import sha256
from trtforge.cli import main
from trtforge.errors import EngineIntegrityError, LockError
from trtforge.locking import Drift, Lock, check_lock, drift, lock, make_lock
from trtforge.locking.environment import LockedGpu, package_versions
from trtforge.locking.lock import LockedEngine

H200 = LockedGpu("NVIDIA H200", "9.0", "580.95.05")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[LockedGpu | None]:
    """Return a list whose one item is the GPU that this machine seems to have."""
    here: list[LockedGpu | None] = [H200]
    monkeypatch.setattr(lock, "gpu_here", lambda: here[0])
    monkeypatch.setattr(drift, "gpu_here", lambda: here[0])
    return here


@pytest.fixture
def locked(tmp_path: Path, gpu: list[LockedGpu | None]) -> Lock:
    ENGINE.save(tmp_path / "engines/asr.engine")
    (tmp_path / "asr.onnx").write_bytes(b"network")
    return make_lock([tmp_path / "engines/asr.engine"], files=[tmp_path / "asr.onnx"], folder=tmp_path)


def said(lock: Lock, folder: Path, **given: bool) -> list[str]:
    return [str(found) for found in check_lock(lock, folder, **given)]


def test_a_lock_says_what_an_engine_was_built_and_verified_with(locked: Lock) -> None:
    made = locked.engines["engines/asr.engine"]
    assert (made.library, made.library_version, made.precision) == ("tensorrt", "8.6.0", "int8")
    assert (made.plan_sha256, made.onnx_sha256) == (sha256(ENGINE.plan), "a" * 64)
    assert (made.gpu, made.driver) == ("NVIDIA H200", "580.95.05")
    assert locked.files == {"asr.onnx": sha256(b"network")}
    assert locked.gpu == H200
    assert {"numpy", "onnx"} <= locked.packages.keys()
    assert f"numpy=={locked.packages['numpy']}\n" in locked.constraints()
    assert "trtforge" not in locked.constraints()


def test_a_lock_comes_back_as_it_was_saved(locked: Lock, tmp_path: Path) -> None:
    locked.save(tmp_path / "trtforge.lock.json")
    assert Lock.load(tmp_path / "trtforge.lock.json") == locked
    assert said(locked, tmp_path) == []


def test_an_altered_engine_is_drift(locked: Lock, tmp_path: Path) -> None:
    (tmp_path / "engines/asr.engine").write_bytes(b"another plan")
    (only,) = check_lock(locked, tmp_path)
    assert only == Drift(
        "engine",
        "engines/asr.engine",
        f"{sha256(ENGINE.plan)[:12]}...",
        f"{sha256(b'another plan')[:12]}...",
        "restore it, or verify what is here and write the lock again",
    )


def test_missing_and_altered_files_are_drift(locked: Lock, tmp_path: Path) -> None:
    (tmp_path / "asr.onnx").write_bytes(b"retrained")
    (tmp_path / "engines/asr.engine.json").unlink()
    (tmp_path / "engines/asr.engine").unlink()
    kinds = [(found.kind, found.what, found.found) for found in check_lock(locked, tmp_path)]
    assert kinds == [
        ("engine", "engines/asr.engine", "No such file or directory"),
        ("manifest", "engines/asr.engine", "no manifest"),
        ("file", "asr.onnx", f"{sha256(b'retrained')[:12]}..."),
    ]


def test_a_manifest_of_another_build_is_drift(locked: Lock, tmp_path: Path) -> None:
    manifest = replace(ENGINE.manifest, driver="590.10")
    (tmp_path / "engines/asr.engine.json").write_text(manifest.dumps())
    assert [found.kind for found in check_lock(locked, tmp_path)] == ["manifest"]


def test_packages_python_and_system_drift(locked: Lock, tmp_path: Path) -> None:
    numpy = package_versions(["numpy"])["numpy"]
    changed = replace(
        locked,
        packages={**locked.packages, "numpy": "1.0", "no-such-package": "2.0"},
        python="3.9",
        system="Windows AMD64",
    )
    assert said(changed, tmp_path)[:3] == [
        f"package numpy: locked 1.0, found {numpy}; install numpy==1.0",
        "package no-such-package: locked 2.0, found not installed; install no-such-package==2.0",
        f"python Python: locked 3.9, found {locked.python}; run Python 3.9",
    ]
    assert said(changed, tmp_path)[3].startswith("system system: locked Windows AMD64, found ")


def test_gpu_and_driver_drift(locked: Lock, tmp_path: Path, gpu: list[LockedGpu | None]) -> None:
    gpu[0] = replace(H200, driver="590.10")
    assert said(locked, tmp_path) == [
        "driver driver: locked 580.95.05, found 590.10; install the locked driver, or verify the engine with "
        "this one and write the lock again"
    ]
    gpu[0] = LockedGpu("NVIDIA A100", "8.0", "580.95.05")
    assert said(locked, tmp_path) == [
        "gpu GPU: locked NVIDIA H200, compute capability 9.0, driver 580.95.05, found NVIDIA A100, compute "
        "capability 8.0, driver 580.95.05; verify the engine on this GPU, and lock that"
    ]


def test_without_a_gpu_its_lock_is_passed_over_aloud(
    locked: Lock, tmp_path: Path, gpu: list[LockedGpu | None]
) -> None:
    gpu[0] = None
    (note,) = check_lock(locked, tmp_path)
    assert (note.kind, note.is_fault, note.found) == ("no-gpu", False, "no GPU")
    (fault,) = check_lock(locked, tmp_path, require_gpu=True)
    assert fault.is_fault


def test_what_cannot_be_locked_is_refused(tmp_path: Path, locked: Lock) -> None:
    with pytest.raises(LockError, match=r"lies outside .*, so no other machine would find it"):
        make_lock([tmp_path / "engines/asr.engine"], files=["/etc/hostname"], folder=tmp_path)
    with pytest.raises(LockError, match="no engine to lock"):
        make_lock([], folder=tmp_path)
    (tmp_path / "engines/asr.engine").write_bytes(ENGINE.plan[:-1] + b"x")
    with pytest.raises(EngineIntegrityError, match="the plan was altered"):
        make_lock([tmp_path / "engines/asr.engine"], folder=tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "trtforge.lock/9"},
        {"engines": {"../asr.engine": {}}},
        {"files": {"/etc/passwd": "a" * 64}},
        {"files": {"asr.onnx": "short"}},
        {"files": {"a\0b": "a" * 64}},
        {"gpu": {"name": "H200"}},
        {
            "engines": {
                "asr.engine": dict.fromkeys(LockedEngine.__annotations__, "a" * 64) | {"manifest_sha256": 5}
            }
        },
    ],
)
def test_a_damaged_lock_is_refused(locked: Lock, tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "trtforge.lock.json"
    locked.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(LockError, match=r"trtforge\.lock\.json is no lock file"):
        Lock.load(path)


def test_the_command_locks_and_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gpu: list[LockedGpu | None]
) -> None:
    ENGINE.save(tmp_path / "asr.engine")
    path, constraints = tmp_path / "trtforge.lock.json", tmp_path / "constraints.txt"
    words = [str(tmp_path / "asr.engine"), "-o", str(path), "--constraints", str(constraints)]
    assert main(["lock", *words]) == 0
    assert "1 engines, 0 files" in capsys.readouterr().out
    assert "numpy==" in constraints.read_text()
    assert main(["lock", "--check", str(path)]) == 0
    assert "as locked" in capsys.readouterr().out
    (tmp_path / "asr.engine").unlink()
    gpu[0] = None
    assert main(["lock", "--check", str(path)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "drift engine asr.engine: locked" in out
    assert "note no-gpu GPU: locked NVIDIA H200" in out
    assert "1 drifted" in out
    assert main(["lock"]) == 2
    assert "give either engines to lock, or --check alone" in capsys.readouterr().err
    assert main(["lock", "--check", str(tmp_path / "none.json")]) == 2
    assert "no lock file at" in capsys.readouterr().err
    assert main(["lock", "--check", str(path), "--file", "asr.onnx"]) == 2
    assert (
        "--output, --file and --constraints write a lock, and go without --check" in capsys.readouterr().err
    )
    assert main(["lock", "--check", "-o", str(path)]) == 2
    assert "trtforge lock --check JSON checks another lock" in capsys.readouterr().err
    assert main(["lock", str(tmp_path / "asr.engine"), "--require-gpu"]) == 2
    assert "--require-gpu checks a lock, and goes with --check" in capsys.readouterr().err
