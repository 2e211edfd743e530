import pytest

from trtforge.speech.translation import Glossary, Translation, preservation_rate
from trtforge.speech.translation.placeholders import mask
from trtforge.speech.translation.terms import TermCheck, check_terms, restore_case


@pytest.mark.parametrize(
    ("text", "required", "kept", "lost", "added", "in_order"),
    [
        ("El tensor core usa INT8.", ["tensor core", "INT8"], ["tensor core", "INT8"], [], [], True),
        ("INT8 va al tensor core.", ["tensor core", "INT8"], ["tensor core", "INT8"], [], [], False),
        ("El núcleo usa INT8.", ["tensor core", "INT8"], ["INT8"], ["tensor core"], [], True),
        ("INT8 o INT8.", ["INT8", "INT8", "INT8"], ["INT8", "INT8"], ["INT8"], [], True),
        ("INT8 INT8 INT8.", ["INT8"], ["INT8"], [], ["INT8", "INT8"], False),
        ("int8 e INT80.", ["INT8"], [], ["INT8"], [], True),
        ("¿Tensor core?", ["tensor core"], ["tensor core"], [], [], True),
        ("El Tensor core.", ["tensor core"], [], ["tensor core"], [], True),
        # what a longer term holds is not a shorter one's
        (
            "Los tensor cores y un tensor.",
            ["tensor cores", "tensor"],
            ["tensor cores", "tensor"],
            [],
            [],
            True,
        ),
        ("El tensor core.", ["tensor core", "tensor"], ["tensor core"], ["tensor"], [], True),
        ("Nada.", [], [], [], [], True),
    ],
)
def test_terms_are_counted_and_compared_in_case_and_order(text, required, kept, lost, added, in_order):
    assert check_terms(text, required) == TermCheck(tuple(kept), tuple(lost), tuple(added), in_order)


def test_order_counts_only_where_it_is_asked():
    check = check_terms("INT8 va al tensor core.", ["tensor core", "INT8"])
    assert check.passes()
    assert not check.passes(keep_order=True)
    assert not check_terms("INT8 INT8", ["INT8"]).passes()


def test_case_is_restored_where_a_term_lacks():
    assert restore_case("el tensorrt y Tensorrt", ["TensorRT", "TensorRT"]) == "el TensorRT y TensorRT"
    assert restore_case("Int8 no, INT8 sí", ["INT8"]) == "Int8 no, INT8 sí"
    assert restore_case("TensorRTs", ["tensorrt"]) == "TensorRTs"


def test_placeholders_stand_for_each_match_and_come_back():
    sentence = "Tensor core and TensorRT use a tensor core."
    matches = Glossary.of({"tensor core": None, "TensorRT": "Tensor-RT"}).find(sentence)
    masked = mask(sentence, matches, ("<t1>", "<t2>", "<t3>"))
    assert masked.text == "<t1> and <t2> use a <t3>."
    assert masked.restore("<t1> y <t2> usan un <t3>.") == "Tensor core y Tensor-RT usan un tensor core."
    assert masked.restore("<t1> y <t1> usan un <t3>.") is None
    assert masked.restore("Usan un <t3>.") is None
    (first, *_) = matches
    one = mask(sentence[: first.end], [first], ("<t1>", "<t2>"))
    assert one.restore("Un <t1>.") is not None
    assert one.restore("Un <t1> con <t2>.") is None  # it stands for nothing
    assert mask(sentence, matches, ("<t1>", "<t2>")) is None
    assert mask("A <t1> tensor core", matches[:1], ("<t1>",)) is None


def test_the_preservation_rate_counts_terms_and_not_sentences():
    translations = [
        Translation("", ""),
        Translation("", "", terms_kept=("a", "b"), terms_lost=("c",)),
        Translation("", "", terms_kept=("a",)),
    ]
    assert preservation_rate(translations) == 0.75
    assert preservation_rate(translations[:1]) == 1.0
