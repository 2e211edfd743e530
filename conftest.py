"""Run the Python blocks of the README and the documentation as tests."""

from pathlib import Path
from typing import Any

import pytest

try:
    from sybil import Sybil
    from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
except ModuleNotFoundError:  # the bare install's tests need no sybil
    pass
else:
    _ROOT = Path(__file__).parent

    def _in_a_copy(namespace: dict[str, Any]) -> None:
        """Let a document's blocks name the repository's files, and write beside none of them."""
        monkeypatch = namespace["monkeypatch"] = pytest.MonkeyPatch()
        monkeypatch.chdir(_ROOT)

    def _restore(namespace: dict[str, Any]) -> None:
        namespace["monkeypatch"].undo()

    pytest_collect_file = Sybil(
        parsers=[PythonCodeBlockParser(), SkipParser()],
        patterns=["README.md", "docs/*.md"],
        setup=_in_a_copy,
        teardown=_restore,
    ).pytest()
