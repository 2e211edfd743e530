"""Leases: bounded, exclusive, in order, and none lost, whatever fails."""

import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trtforge.errors import ExecutionError, OutOfMemoryError
from trtforge.runtime.pool import LeasePool


class Leases(RuleBasedStateMachine):
    """One thread takes and gives; a model says what must exist."""

    def __init__(self):
        super().__init__()
        self.num_made, self.alive, self.leased, self.fails = 0, set(), [], False
        self.max_size = 3
        self.pool = LeasePool(self.make, self.alive.remove, self.max_size)

    def make(self):
        if self.fails:
            raise OutOfMemoryError("no memory")
        self.num_made += 1
        self.alive.add(self.num_made)
        return self.num_made

    @precondition(lambda self: len(self.leased) < self.max_size)
    @rule(fails=st.booleans())
    def acquire(self, fails):
        self.fails = fails
        if fails and not self.pool.idle:
            with pytest.raises(OutOfMemoryError):
                self.pool.acquire()
        else:
            idle = self.pool.idle
            item = self.pool.acquire()
            assert not idle or item == idle[-1]
            self.leased.append(item)

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), discards=st.booleans())
    def give_back(self, data, discards):
        item = data.draw(st.sampled_from(self.leased))
        self.leased.remove(item)
        (self.pool.discard if discards else self.pool.release)(item)
        assert (item in self.alive) is (not discards and len(self.leased) < self.max_size)

    @rule()
    def free_idle(self):
        num_idle = len(self.pool.idle)
        assert self.pool.free_idle() == num_idle
        assert self.alive == set(self.leased)

    @invariant()
    def nothing_is_lost_or_shared(self):
        assert len(set(self.leased)) == len(self.leased)
        assert set(self.leased).isdisjoint(self.pool.idle)
        assert self.alive == set(self.leased) | set(self.pool.idle)
        assert self.pool.size == len(self.alive) <= self.max_size

    def teardown(self):
        for item in self.leased:
            self.pool.release(item)
        self.pool.close()
        assert self.alive == set()


Leases.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLeases = Leases.TestCase


def test_many_threads_never_share_and_all_are_served():
    alive, in_use, most, served = set(), set(), [0], []
    lock, counter = threading.Lock(), iter(range(10_000))

    def make():
        with lock:
            item = next(counter)
            alive.add(item)
        if item % 5 == 3:
            alive.remove(item)
            raise OutOfMemoryError("now and then")
        return item

    pool = LeasePool(make, alive.remove, 3)

    def work(seed):
        for turn in range(200):
            try:
                item = pool.acquire()
            except OutOfMemoryError:
                continue
            with lock:
                assert item not in in_use
                in_use.add(item)
                most[0] = max(most[0], len(in_use))
            time.sleep(0)
            with lock:
                in_use.remove(item)
            served.append(seed)
            if (turn + seed) % 7 == 0:
                pool.discard(item)
            elif (turn + seed) % 11 == 0:
                pool.release(item)
                pool.free_idle()
            else:
                pool.release(item)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert most[0] <= 3
    assert len(served) > 1200
    assert pool.size == len(pool.idle)
    pool.close()
    assert alive == set()


def test_who_waits_is_served_in_order():
    pool = LeasePool(object, lambda item: None, 1)
    held, order, threads = pool.acquire(), [], []

    def work(number):
        item = pool.acquire()
        order.append(number)
        pool.release(item)

    for number in range(6):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        while len(pool._waiting) <= number:
            time.sleep(0.001)
    pool.release(held)
    for thread in threads:
        thread.join(10)
    assert order == list(range(6))


def test_a_smaller_limit_takes_hold_as_leases_end():
    disposed = []
    pool = LeasePool(object, disposed.append, 3)
    leased = [pool.acquire() for _ in range(3)]
    pool.limit(1)
    for item in leased:
        pool.release(item)
    assert disposed == leased[:2]
    assert pool.size == 1


def test_closing_refuses_who_waits_and_who_comes():
    disposed, errors = [], []
    pool = LeasePool(object, disposed.append, 1)
    item = pool.acquire()

    def work():
        try:
            pool.acquire()
        except ExecutionError as error:
            errors.append(error.message)

    waiter = threading.Thread(target=work)
    waiter.start()
    while not pool._waiting:
        time.sleep(0.001)
    closer = threading.Thread(target=pool.close)
    closer.start()
    waiter.join(10)
    assert errors == ["the session was closed while this call waited"]
    assert disposed == []
    pool.release(item)
    closer.join(10)
    assert disposed == [item]
    with pytest.raises(ExecutionError, match="the session is closed"):
        pool.acquire()
    pool.close()
