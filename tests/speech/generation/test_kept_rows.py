import threading

import pytest

from trtforge.speech.generation import KeptRows, kept_rows


class Rows:
    """Stands for a RowDecoder."""

    def __init__(self, network, **settings):
        self.settings, self.has_grown, self.is_closed = settings, False, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.is_closed = True


class EngineLike:
    """Stands for a Session."""


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    monkeypatch.setattr(kept_rows, "RowDecoder", Rows)
    monkeypatch.setattr(kept_rows, "Session", EngineLike)


def test_rows_of_a_network_are_made_for_each_caller():
    keeper = KeptRows(object())
    with keeper.lend(num_rows=2) as first, keeper.lend(num_rows=3) as second:
        assert (first.settings, second.settings) == ({"num_rows": 2}, {"num_rows": 3})
    assert first.is_closed
    assert second.is_closed


def test_rows_of_an_engine_are_kept_until_they_have_grown():
    with KeptRows(EngineLike()) as keeper:
        with keeper.lend(num_rows=2) as first:
            pass
        with pytest.raises(ZeroDivisionError), keeper.lend(num_rows=2) as again:
            raise ZeroDivisionError
        assert again is first
        assert not first.is_closed
        with keeper.lend(num_rows=2) as again:
            again.has_grown = True
        assert first.is_closed
        with keeper.lend(num_rows=2) as second:
            assert second is not first
    assert second.is_closed
    keeper.close()


def test_rows_of_an_engine_are_lent_to_one_caller_at_a_time():
    keeper, began, ended = KeptRows(EngineLike()), threading.Event(), []

    def borrow():
        began.set()
        with keeper.lend(num_rows=2):
            ended.append("other")

    with keeper.lend(num_rows=2):
        other = threading.Thread(target=borrow)
        other.start()
        assert began.wait(10)
        other.join(0.1)
        ended.append("first")
    other.join(10)
    assert ended == ["first", "other"]
