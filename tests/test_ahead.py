import threading

import pytest

from trtforge._ahead import ahead


def threads_at_work() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("trtforge-")]


def test_results_come_in_order_and_items_are_read_in_one_other_thread():
    readers = set()

    def items():
        for item in range(200):
            readers.add(threading.current_thread())
            yield item

    assert list(ahead(items(), lambda item: item**2)) == [item**2 for item in range(200)]
    assert len(readers) == 1
    assert threading.current_thread() not in readers
    assert threads_at_work() == []


def test_nothing_gives_nothing():
    assert list(ahead([], str)) == []


def test_no_more_is_read_than_asked_for():
    taken, worked = [], threading.Semaphore(0)

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    def work(item):
        worked.release()
        return item

    found = ahead(items(), work, num_ahead=3)
    assert taken == []
    assert next(found) == 0
    for _ in range(4):  # the one that was yielded and three more
        assert worked.acquire(timeout=10)
    assert not worked.acquire(timeout=0.2)
    assert taken == [0, 1, 2, 3]
    found.close()
    assert threads_at_work() == []


@pytest.mark.parametrize("where", ["items", "work"])
def test_an_error_comes_in_its_place_and_ends_the_threads(where):
    def items():
        yield from range(5)
        if where == "items":
            raise ValueError("cannot read on")
        yield 0

    def broken(item):
        if where == "work" and item == 3:
            raise ValueError("cannot read on")
        return item

    found = ahead(items(), broken)
    before = range(5 if where == "items" else 3)
    assert [next(found) for _ in before] == list(before)
    with pytest.raises(ValueError, match="cannot read on"):
        next(found)
    assert threads_at_work() == []
