"""What must hold with the base install alone; also run in an environment that has nothing else."""

import subprocess
import sys

import pytest

import trtforge
from trtforge._optional import require
from trtforge.errors import MissingExtraError

HEAVY = {
    "numpy",
    "onnx",
    "rich",
    "librosa",
    "numba",
    "onnxruntime",
    "matplotlib",
    "torch",
    "tensorrt",
    "tensorrt_rtx",
}


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_loads_nothing_heavy() -> None:
    loaded = run("import sys, trtforge; print(*{name.partition('.')[0] for name in sys.modules})")
    assert not HEAVY & set(loaded.split())


def test_importing_needs_nothing_but_the_standard_library() -> None:
    # How long it takes is measured by benchmarks/bench_import.py; here, that there is little to take time.
    loaded = run(
        "import sys; before = set(sys.modules); import trtforge; print(*set(sys.modules) - before)"
    ).split()
    known = {*sys.stdlib_module_names, "trtforge"}
    assert {name for name in loaded if name.partition(".")[0] not in known} == set()
    assert len(loaded) < 60


def test_every_public_name_resolves() -> None:
    assert [name for name in trtforge.__all__ if getattr(trtforge, name, None) is None] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'trtforge' has no attribute 'nothing'"):
        trtforge.nothing  # noqa: B018


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(MissingExtraError) as caught:
        require("jiwer", "count word errors")
    assert str(caught.value) == (
        "jiwer is needed to count word errors, and it is not installed\n"
        'hint: python -m pip install "trtforge[speech]"'
    )


def test_a_fault_inside_an_installed_package_is_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "jiwer.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "jiwer", raising=False)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("jiwer", "count word errors")
