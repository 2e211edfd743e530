import pytest

from trtforge.errors import InputError
from trtforge.speech.translation import Glossary
from trtforge.speech.translation.pieces import join_parts, parts_of


def always(text):
    return True


def up_to_20(text):
    return len(text) <= 20


def test_sentences_are_parted_at_their_ends():
    text = 'One. Two?  "Three!" 4 is next… Ása'
    assert parts_of(text, (), always) == ["One.", "Two?", '"Three!"', "4 is next…", "Ása"]


@pytest.mark.parametrize(
    "text",
    ["Dr. Smith and J. Doe", "the FP16 vs. INT8 case", "TensorRT 8.6 is out. it is", "i.e. Ben", ""],
)
def test_what_only_looks_like_an_end_is_none(text):
    assert parts_of(text, (), always) == [text]


def test_long_sentences_are_cut_at_marks_and_never_in_a_term():
    assert parts_of("one two three, four five six", (), up_to_20) == ["one two three,", "four five six"]
    sentence = "aaaaaaaaaa tensor core bbbbbb"
    assert parts_of(sentence, (), up_to_20) == ["aaaaaaaaaa tensor", "core bbbbbb"]
    matches = Glossary.of(["tensor core"]).find(sentence)
    assert parts_of(sentence, matches, up_to_20) == ["aaaaaaaaaa", "tensor core bbbbbb"]
    text = "It is. Net. Core is on"
    assert parts_of(text, Glossary.of(["Net. Core"]).find(text), always) == ["It is.", "Net. Core is on"]


def test_a_word_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="a word is longer than the network takes: 'aaaaa"):
        parts_of("a" * 30, (), up_to_20)


def test_text_without_spaces_is_parted_and_cut_too():
    question, comma = "\uff1f", "\uff0c"
    parts = ["我们构建引擎。", f"“对吗{question}{question}”", "是 的。"]
    assert parts_of("".join(parts), (), always) == parts
    halves = [f"一二三四五六七八九十{comma}", "一二三四五六七八九十。"]
    assert parts_of("".join(halves), (), up_to_20) == halves
    sentence = "一二三四五六七八九张量核心六七八九十一二"
    assert parts_of(sentence, (), lambda text: len(text) <= 10) == [sentence[:10], sentence[10:]]
    matches = Glossary.of(["张量核心"]).find(sentence)
    assert parts_of(sentence, matches, lambda text: len(text) <= 12) == [sentence[:9], sentence[9:]]


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["Uno.", "Dos."], "Uno. Dos."),
        (["一。", "二。"], "一。二。"),
        (["「はい」", "カメラ。"], "「はい」カメラ。"),
        (["一。", "TensorRT 8.6"], "一。 TensorRT 8.6"),
        (["หนึ่ง", "สอง"], "หนึ่ง สอง"),
        (["하나.", "둘."], "하나. 둘."),
        (["", "Dos.", ""], "Dos."),
        ([], ""),
    ],
)
def test_parts_are_joined_as_their_script_is_written(texts, joined):
    assert join_parts(texts) == joined
