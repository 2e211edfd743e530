import itertools

import numpy as np
import pytest

from trtforge.errors import ConfigError
from trtforge.speech.translation.constrained import Constraint, max_rows, search
from trtforge.speech.translation.sequences import groups_by_length

END, NUM_SYMBOLS = 0, 6
NOTHING = np.zeros(NUM_SYMBOLS, bool)


class Table:
    """A made-up network: log-probabilities that depend on position and the symbol before, by seed."""

    def __init__(self, seed):
        scores = np.random.default_rng(seed).normal(0, 2, (8, NUM_SYMBOLS, NUM_SYMBOLS))
        self.scores = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        self.most_rows = 0

    def __call__(self, prefixes):
        assert len({len(prefix) for prefix in prefixes}) == 1
        self.most_rows = max(self.most_rows, len(prefixes))
        return np.stack([self.after(prefix) for prefix in prefixes])

    def after(self, prefix):
        return self.scores[len(prefix), prefix[-1] if prefix else 0]

    def total(self, tokens):
        return sum(self.after(tokens[:at])[token] for at, token in enumerate((*tokens, END)))


def holds(tokens, words):
    return any(tokens[at : at + len(words)] == words for at in range(len(tokens)))


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_search_finds_the_best_of_all_sequences_that_hold_the_words(seed):
    table = Table(seed)
    constraints = [Constraint((2, 3)), Constraint((4,))]
    found = search(
        table, constraints, end=END, max_new_tokens=4, continues_word=NOTHING, width=2000,
        accept=lambda tokens: tokens.count(4) == 1 and holds(tokens, (2, 3)),
    )  # fmt: skip
    every = [
        tokens
        for length in range(5)
        for tokens in itertools.product(range(1, NUM_SYMBOLS), repeat=length)
        if holds(tokens, (2, 3)) and tokens.count(4) == 1
    ]
    best = max(every, key=lambda tokens: table.total(tokens) / (len(tokens) + 1))
    assert found.tokens == best
    assert found.log_probability == pytest.approx(table.total(best))
    assert found.mean_log_probability == pytest.approx(table.total(best) / (len(best) + 1))


@pytest.mark.parametrize("seed", range(6))
def test_a_narrow_search_holds_the_words_in_few_rows(seed):
    table = Table(seed)
    constraints = [Constraint((5, 1)), Constraint((3,))]
    found = search(table, constraints, end=END, max_new_tokens=6, continues_word=NOTHING, width=2)
    assert holds(found.tokens, (5, 1))
    assert 3 in found.tokens
    assert found.log_probability == pytest.approx(table.total(found.tokens))
    assert table.most_rows <= max_rows(constraints, 2) == 8


def test_order_is_kept_where_it_is_asked():
    constraints = [Constraint((4,)), Constraint((2,)), Constraint((3,))]
    for seed in range(4):
        found = search(
            Table(seed), constraints, end=END, max_new_tokens=3, continues_word=NOTHING, in_order=True
        )
        assert found.tokens == (4, 2, 3)


def test_no_symbol_that_continues_a_word_follows_a_term():
    continues = NOTHING.copy()
    continues[[3, 5]] = True
    for seed in range(6):
        found = search(
            Table(seed), [Constraint((1, 2))], end=END, max_new_tokens=6, continues_word=continues, width=3
        )
        after = found.tokens[[*zip(found.tokens, found.tokens[1:], strict=False)].index((1, 2)) + 2 :]
        assert after[:1] not in [(3,), (5,)]


def test_a_term_may_be_written_otherwise_at_the_start():
    constraint = Constraint((1,), (2,))
    for seed in range(6):
        found = search(
            Table(seed), [constraint], end=END, max_new_tokens=3, continues_word=NOTHING,
            accept=lambda tokens: tokens[0] == 2 and 1 not in tokens,
        )  # fmt: skip
        assert found.tokens[0] == 2


def test_words_that_cannot_come_give_nothing():
    table = Table(0)
    table.scores[:, :, 4] = -np.inf
    assert search(table, [Constraint((4,))], end=END, max_new_tokens=4, continues_word=NOTHING) is None
    assert search(table, [Constraint((1, 2, 3))], end=END, max_new_tokens=2, continues_word=NOTHING) is None


def test_sequences_of_like_length_go_together():
    assert groups_by_length([3, 40, 5, 20, 21, 4], 2) == [[1, 4], [3, 2], [5, 0]]
    assert groups_by_length([3, 40, 5], 8) == [[1, 2, 0]]
    assert groups_by_length([], 8) == []


def test_words_that_cannot_be_finished_give_nothing():
    scores = np.log(np.full(4, 0.25))
    scores[3] = -np.inf
    found = search(
        lambda prefixes: np.stack([scores] * len(prefixes)),
        [Constraint((1, 3))],
        end=0,
        max_new_tokens=5,
        continues_word=np.zeros(4, bool),
    )
    assert found is None


def test_a_constraint_has_symbols():
    with pytest.raises(ConfigError, match="a constraint has one symbol or more"):
        Constraint(())
