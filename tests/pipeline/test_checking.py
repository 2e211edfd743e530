"""Reference and candidate are timed in processes of their own."""

import os

import pytest

from tests.bundled import MODEL, TEST_SET, some_clips
from trtforge.errors import ExecutionError
from trtforge.pipeline import checking, time_candidate


def die(*_: object) -> None:
    """End as a process does that the system kills."""
    os._exit(9)


def test_a_run_whose_process_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_time_once", die)
    with pytest.raises(ExecutionError, match="timed reference and candidate ended in run 1"):
        time_candidate(MODEL, MODEL, some_clips(TEST_SET, 2), num_runs=2)
