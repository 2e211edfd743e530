import os
import time

import pytest

from tests.engine.test_artifact import ENGINE
from trtforge.cli import main
from trtforge.engine import EngineStore

KEY, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("TRTFORGE_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    store = EngineStore()
    for key in (KEY, OTHER):
        store.get_or_build(key, lambda: ENGINE)
    return store


def run(capsys, *words):
    status = main(["cache", *map(str, words)])
    out, err = capsys.readouterr()
    return status, " ".join(out.split()), " ".join(err.split())


def test_what_is_kept_is_listed(store, capsys):
    two_days_ago = time.time() - 2 * 86400
    for path in (store.path(KEY), f"{store.path(KEY)}.json"):
        os.utime(path, (two_days_ago, two_days_ago))
    status, out, _ = run(capsys, "list")
    assert status == 0
    for words in (KEY[:12], "int8", "tensorrt 8.6.0", "NVIDIA H200 (9.0)", "2 d ago", "now", "2 engines, "):
        assert words in out
    assert out.index(OTHER[:12]) < out.index(KEY[:12])
    assert run(capsys, "path")[1] == str(store.folder)
    assert run(capsys, "list", "--folder", store.folder / "none")[1].startswith("0 engines, 0 B, in ")


def test_what_is_damaged_is_named(store, capsys):
    assert run(capsys, "verify")[:2] == (0, f"2 engines in {store.folder}, all whole")
    store.path(KEY).write_bytes(b"")
    (store.folder / f"{OTHER}.engine.json").write_text("{}")
    status, out, err = run(capsys, "verify")
    assert status == 2
    assert f"{KEY[:12]} {store.path(KEY)} is cut short: 0 bytes of 200" in out
    assert f"{OTHER[:12]} " in out
    assert "2 engines of 2 in" in err
    assert "manifest damaged" in run(capsys, "list")[1]


def test_clearing(store, capsys):
    assert run(capsys, "clear", "--older-than", "1h")[1].startswith("0 engines removed")
    assert run(capsys, "clear", "--all")[1].startswith("2 engines removed, ")
    assert store.entries() == []
    with pytest.raises(SystemExit):
        main(["cache", "clear"])
    with pytest.raises(SystemExit):
        main(["cache", "clear", "--older-than", "soon"])
    assert "no duration; write a number and a unit" in " ".join(capsys.readouterr().err.split())
