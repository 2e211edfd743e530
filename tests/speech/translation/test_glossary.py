import pytest

from trtforge.errors import ConfigError
from trtforge.speech.translation import Glossary, Term


def found(glossary, sentence):
    return [(sentence[match.begin : match.end], match.term.rendering) for match in glossary.find(sentence)]


def test_the_longest_term_is_taken_where_several_begin():
    glossary = Glossary.of(["tensor", "tensor core", "tensor cores", "core"])
    assert found(glossary, "A tensor core, tensor cores and a core tensor.") == [
        ("tensor core", "tensor core"),
        ("tensor cores", "tensor cores"),
        ("core", "core"),
        ("tensor", "tensor"),
    ]


def test_terms_are_found_at_word_boundaries_alone():
    glossary = Glossary.of(["INT8", "scale"])
    assert found(glossary, "INT8, INT8-scale, INT80, rescale, scales") == [
        ("INT8", "INT8"),
        ("INT8", "INT8"),
        ("scale", "scale"),
    ]


def test_white_space_and_marks_inside_a_term():
    glossary = Glossary.of({"tensor core": None, "C++": "C++"})
    assert found(glossary, "a tensor \n core in C++.") == [("tensor \n core", "tensor core"), ("C++", "C++")]


def test_terms_with_a_capital_ask_for_it_unless_told():
    glossary = Glossary((Term("RAM"), Term("tensor core"), Term("TensorRT", match_case=False)))
    assert found(glossary, "Tensor core, ram, RAM, tensorrt") == [
        ("Tensor core", "tensor core"),
        ("RAM", "RAM"),
        ("tensorrt", "TensorRT"),
    ]


def test_a_term_may_have_a_rendering_of_its_own():
    glossary = Glossary.of({"tensor r t": "TensorRT", "engine": "motor"})
    assert found(glossary, "the tensor r t engine") == [("tensor r t", "TensorRT"), ("engine", "motor")]


def test_a_file_holds_a_term_a_line(tmp_path):
    path = tmp_path / "terms.txt"
    path.write_text("# ours\nTensorRT\n\ntensor core\t núcleo tensorial \n", encoding="utf-8-sig")
    assert Glossary.load(path) == Glossary((Term("TensorRT"), Term("tensor core", "núcleo tensorial")))
    path.write_text("a\tb\tc\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1: a term and at most one rendering were expected, got 3"):
        Glossary.load(path)
    with pytest.raises(ConfigError, match="the glossary cannot be read"):
        Glossary.load(tmp_path / "none.txt")


def test_a_term_must_be_there_once_and_say_something():
    with pytest.raises(ConfigError, match="'Tensor  core' twice: as 'tensor core' and as 'x'"):
        Glossary((Term("tensor core"), Term("Tensor  core", "x", match_case=False)))
    with pytest.raises(ConfigError, match="a term's source is empty"):
        Term("  ")
    with pytest.raises(ConfigError, match="a term's target is empty"):
        Term("a", "")


def test_of_two_terms_as_long_the_one_in_its_own_case_is_taken():
    glossary = Glossary((Term("ram", "memoria"), Term("RAM"), Term("Ram", "carnero")))
    assert [match.term.rendering for match in glossary.find("RAM, ram and Ram")] == [
        "RAM",
        "memoria",
        "carnero",
    ]


def test_terms_are_found_where_words_have_no_spaces():
    glossary = Glossary.of({"引擎": "engine", "TensorRT": None, "エンジン": "engine"})
    assert found(glossary, "我们用TensorRT构建引擎。エンジンです TensorRT8") == [
        ("TensorRT", "TensorRT"), ("引擎", "engine"), ("エンジン", "engine"),
    ]  # fmt: skip
