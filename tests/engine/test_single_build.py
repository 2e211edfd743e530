"""What is read from an engine after it was built must not lose it."""

import pytest

from trtforge.engine import BuildConfig, single_build
from trtforge.nvidia.selection import flavor_for


class Unreadable:
    """Stands in for an engine whose inspector says what nobody can read."""

    def __init__(self, flavor, plan):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def layers(self):
        raise ValueError("Expecting value: line 1 column 1")


def test_an_inspector_that_cannot_be_read_is_a_warning(monkeypatch):
    monkeypatch.setattr(single_build, "LoadedEngine", Unreadable)
    monkeypatch.setattr(single_build, "is_installed", lambda module: True)
    flavor = flavor_for("tensorrt", "8.6.0")
    with pytest.warns(UserWarning, match="cannot be read from the engine: Expecting value"):
        assert single_build._inspect(flavor, BuildConfig(), b"plan") is None
