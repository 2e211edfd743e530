"""Scores that survive an interruption."""

import json
import math

import pytest

from trtforge.assignment import Journal, Score, StratumScore
from trtforge.errors import ConfigError

KEY = {"model_sha256": "a" * 64, "by": "layer"}
SCORE = Score(31.0, 0.999, StratumScore(10, 100, 5, 6), {"noise=none": StratumScore(5, 50, 2, 2)})


def test_a_journal_is_found_again(tmp_path):
    path = tmp_path / "journal.json"
    first = Journal(KEY, path)
    assert first.get({"x"}) is None
    first.add({"b", "a"}, SCORE)
    first.add(set(), Score(math.inf, 1.0))
    again = Journal(KEY, path)
    assert len(again) == 2
    assert again.get(["a", "b"]) == SCORE
    assert again.get([]) == Score(math.inf, 1.0)


def test_one_without_a_file_writes_nothing(tmp_path):
    journal = Journal(KEY)
    journal.add({"a"}, SCORE)
    assert journal.get({"a"}) == SCORE
    assert list(tmp_path.iterdir()) == []


def test_the_journal_of_another_search_is_refused(tmp_path):
    path = tmp_path / "journal.json"
    Journal(KEY, path).add(set(), SCORE)
    with pytest.raises(ConfigError, match="is the journal of another search: by differ") as caught:
        Journal({**KEY, "by": "block"}, path)
    assert "remove this one" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no search journal"),
        ("{}", 'it lacks "format"'),
        ('{"format": "trtforge.search_journal/1", "key": []}', "it does not say of which search"),
        (
            json.dumps({"format": "trtforge.search_journal/1", "key": KEY, "scores": [{"left_out": []}]}),
            "is a damaged search journal: KeyError",
        ),
        (
            '{"format": "trtforge.search_journal/1", "key": {"model_sha256": "%s", "by": "layer"}, "scores": '
            '[{"left_out": [], "score": {"snr_db": NaN, "cosine": 1.0, "words": null, "strata": {}}}]}'
            % ("a" * 64),
            "is a damaged search journal: ValueError.*a score is NaN",
        ),
    ],
)
def test_a_file_that_is_no_journal_is_refused(tmp_path, content, message):
    path = tmp_path / "journal.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        Journal(KEY, path)
