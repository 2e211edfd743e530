"""The Python example of the README shows a person something."""

import re

import pytest

import trtforge
from tests.bundled import ROOT, some_clips

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_prints_rates_and_a_clip(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    example, _, requirement = block.partition("# Raises where")
    assert "report.require(wer_increase=" in requirement  # not for six clips, which show nothing of the kind
    monkeypatch.chdir(ROOT)
    few = {path: some_clips(ROOT / path, 6) for path in re.findall(r'ClipSet\.load\("(.*?)"\)', example)}
    monkeypatch.setattr(trtforge.ClipSet, "load", few.__getitem__)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - what users are told to run
    said = capsys.readouterr().out
    assert "Word errors: 6 clips" in said
    assert re.search(r"^FP32 .*\n^INT8 .*[-+]\d+\.\d\d", said, re.MULTILINE)
    assert re.search(r"^said:  \w.*\nFP32:  .*\nINT8:  .*$", said, re.MULTILINE)


def test_prose_is_no_wider_than_120_characters() -> None:
    wide = [line for line in README.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert wide == []


def test_no_page_has_the_name_of_one_that_sphinx_writes_itself() -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert "index" in pages
    assert pages.isdisjoint({"search", "genindex", "py-modindex"})
