from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtforge.errors import ExecutionError, InputError
from trtforge.speech import CtcDecoder, CtcStream, Word

DECODER = CtcDecoder((" ", "a", "b", "c d", "▁"), blank=5)


def scores(path):
    return np.eye(6, dtype=np.float32)[np.array(path, dtype=int)].reshape(-1, 6)


def test_words_have_the_times_of_their_symbols():
    stream = CtcStream(DECODER, 0.02)
    #                            blank a  a  blank b  blank " " " " b
    words = stream.push(scores([5, 1, 1, 5, 2, 5, 0, 0, 2])) + stream.push(scores([2, 5]))
    assert words == [Word("ab", 0.02, 0.10)]
    assert stream.finish() == [Word("b", 0.16, 0.20)]
    assert stream.finish() == []


@given(st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 40), max_size=4))
def test_blocks_give_the_text_of_the_whole(path, cuts):
    stream = CtcStream(DECODER, 0.02)
    words = [
        word for block in np.split(scores(path), sorted(cuts)[: len(path)]) for word in stream.push(block)
    ]
    words += stream.finish()
    assert " ".join(word.text for word in words) == DECODER.decode({"logits": scores(path)[None]})[0]
    assert all(word.start < word.end for word in words)
    assert all(one.start <= two.start for one, two in pairwise(words))


def test_scores_that_have_no_text_are_refused():
    stream = CtcStream(DECODER, 0.02)
    with pytest.raises(InputError, match=r"must be \[time, 6\], got \[2, 7\]"):
        stream.push(np.zeros((2, 7), np.float32))
    with pytest.raises(ExecutionError, match="has NaN"):
        stream.push(np.full((2, 6), np.nan, np.float32))
