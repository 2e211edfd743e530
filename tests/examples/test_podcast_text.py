"""The stages that work on text, on segments written by hand and on the demo's reference."""

import json
from itertools import pairwise

import pytest

pytest.importorskip("wordfreq")
pytest.importorskip("sklearn")
pytest.importorskip("networkx")

from examples.podcast.chapters import MAX_CHAPTERS, MAX_TITLE_CHARS, find_chapters
from examples.podcast.columns import break_up, columns
from examples.podcast.complaints import complain
from examples.podcast.keywords import find_keywords
from examples.podcast.known_words import known_share
from examples.podcast.records import Passage, Segment, Transcript, Word
from examples.podcast.segments import segment
from examples.podcast.sentiment import Lexicon
from examples.podcast.settings import Limits, Settings
from examples.podcast.subtitles import make_subtitles, to_srt, to_vtt, translated_subtitles, wrap
from examples.podcast.summary import MAX_DESCRIPTION_CHARS, central_sentences, slug, summarise
from tests.examples.podcast_clips import DEMO
from trtforge.errors import ConfigError

srt = pytest.importorskip("srt")
webvtt = pytest.importorskip("webvtt")


def reference() -> tuple[list[Segment], list[str]]:
    sentences = json.loads((DEMO / "reference.json").read_text())["sentences"]
    segments = [Segment(one["start"], one["end"], one["text"], ()) for one in sentences]
    return segments, [one["chapter"] for one in sentences]


def words(text: str, start: float = 0.0, step: float = 0.5) -> tuple[Word, ...]:
    return tuple(
        Word(word, start + step * at, start + step * at + 0.8 * step) for at, word in enumerate(text.split())
    )


def transcript(*passages: Passage, punctuated: bool = False) -> Transcript:
    return Transcript("en", "by hand", punctuated, 1.0, passages)


def test_a_term_is_written_as_it_is_written_and_lasts_as_long_as_its_words() -> None:
    spoken = words("the tensor r t engine i like")
    (found,) = segment(
        transcript(Passage(0.0, 4.0, spoken)), terms={"TensorRT": ("tensor r t",)}, max_seconds=14
    )
    assert found.text == "The TensorRT engine I like."
    assert found.words[1] == Word("TensorRT", 0.5, 1.9)
    assert (found.start, found.end) == (0.0, 4.0)


def test_a_term_keeps_its_case_and_the_marks_around_it() -> None:
    terms = {"iOS": ("i o s",), "tensor core": (), "INT8": ("int eight",), ".NET": ()}

    def written(text: str, *, punctuated: bool) -> list[str]:
        passage = Passage(0.0, 9.0, words(text))
        found = segment(transcript(passage, punctuated=punctuated), terms=terms, max_seconds=14)
        return [one.text for one in found]

    assert written("i o s is new", punctuated=False) == ["iOS is new."]
    assert written("tensor core is new", punctuated=False) == ["Tensor core is new."]
    assert written('Tensor Core and "Tensor Core" (INT eight), .net; int eight.', punctuated=True) == [
        'Tensor core and "tensor core" (INT8), .NET; INT8.'
    ]
    assert written('"...', punctuated=True) == ['"...']


def test_a_long_sentence_is_parted_at_its_longest_pause() -> None:
    spoken = (*words("one two three four"), *words("five six seven eight", start=3.0))
    found = segment(transcript(Passage(0.0, 5.0, spoken)), terms={}, max_seconds=4)
    assert [one.text for one in found] == ["One two three four.", "Five six seven eight."]
    assert (found[0].end, found[1].start) == (1.9, 3.0)


@pytest.mark.parametrize(
    ("said", "mark"),
    [
        ("how long does it take", "?"),
        ("and what do you do with silence", "?"),
        ("can i move it", "?"),
        ("is the engine good", "?"),
        ("what we learned is simple", "."),
        ("how nice", "."),
        ("how many clips do you need for calibration", "?"),
        ("do not wait", "."),
    ],
)
def test_what_begins_as_a_question_ends_as_one(said: str, mark: str) -> None:
    (found,) = segment(transcript(Passage(0.0, 9.0, words(said))), terms={}, max_seconds=14)
    assert found.text[-1] == mark


def test_what_a_recogniser_punctuates_is_left_as_it_is() -> None:
    spoken = words("Is it fast? Yes, it is.")
    found = segment(transcript(Passage(0.0, 3.0, spoken), punctuated=True), terms={}, max_seconds=14)
    assert [one.text for one in found] == ["Is it fast?", "Yes, it is."]


def test_the_demo_turns_where_its_script_does() -> None:
    segments, titles = reference()
    found = find_chapters(segments, duration=309.38, language="en", min_seconds=30)
    turns = [after.start for (a, b), after in zip(pairwise(titles), segments[1:], strict=True) if a != b]
    assert len(found) == 7
    assert [chapter.start for chapter in found[1:]] == pytest.approx(turns, abs=10)
    assert (found[0].start, found[-1].end) == (0.0, 309.38)
    assert all(before.end == after.start for before, after in pairwise(found))
    assert all(len(chapter.title) <= MAX_TITLE_CHARS for chapter in found)
    assert len({chapter.title for chapter in found}) == 7


def test_one_sentence_is_one_chapter() -> None:
    only = [Segment(1.0, 3.0, "Calibration counts.", ())]
    (found,) = find_chapters(only, duration=4.0, language="en", min_seconds=30)
    assert (found.start, found.end) == (0.0, 4.0)


def test_keywords_are_what_is_said_here_more_than_elsewhere() -> None:
    segments, _ = reference()
    found = find_keywords(segments, language="en", limit=12, terms=["TensorRT", "INT8"])
    assert {"engine", "quantization", "calibration", "INT8", "TensorRT"} <= {word.text for word in found}
    assert [word.score for word in found] == sorted((word.score for word in found), reverse=True)
    assert next(word.count for word in found if word.text == "engine") == 14


def test_spelling_mistakes_are_no_keywords() -> None:
    segments = [Segment(0, 1, "The quantizashun of the kernel is a quantizashun of the kernel.", ())]
    assert [word.text for word in find_keywords(segments, language="en", limit=5)] == ["kernel"]


def test_a_summary_keeps_the_order_and_repeats_nothing() -> None:
    segments, _ = reference()
    texts = [one.text for one in segments]
    chosen = central_sentences(texts, 5)
    assert len(chosen) == 5
    assert [texts.index(text) for text in chosen] == sorted(texts.index(text) for text in chosen)
    keywords = find_keywords(segments, language="en", limit=6)
    found = summarise(segments, keywords, title="", num_sentences=5, language="en")
    assert found.title == "Engine, quantization and calibration"
    assert found.slug == "engine-quantization-and-calibration"
    assert 60 < len(found.description) <= MAX_DESCRIPTION_CHARS
    assert found.description.endswith(".")  # of two sentences, and none is cut


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("Ünïque: 8-bit!", "unique-8-bit"), ("…", "episode-b4935894"), ("日本", "episode-cf2abf0c")],
)
def test_a_slug_is_plain(text: str, wanted: str) -> None:
    assert slug(text) == wanted


def test_sentiment_has_a_sign() -> None:
    pytest.importorskip("vaderSentiment")
    good, bad, plain = Lexicon().judge(["I love this.", "That is a horrible fault.", "It has a graph."])
    assert (good.label, bad.label, plain.label) == ("positive", "negative", "neutral")
    assert good.score > 0.5 > 0 > bad.score
    assert plain.score == 0


def test_known_words_tell_languages_apart() -> None:
    assert known_share(["the", "engine", "is", "fast"], "en") == 1
    assert known_share(["ten", "moden", "und", "willkommen", "heute", "hightash", "presian"], "en") < 0.5
    assert known_share(["whatever", "it", "is"], "xx") == 1


def test_cues_keep_their_limits_and_hold_every_word() -> None:
    segments, _ = reference()
    limits = Limits()
    found = make_subtitles(segments, limits, language="en")
    for cues, width in ((found.cues, 42), (found.narrow_cues, 32)):
        assert all(len(line) <= width for cue in cues for line in cue.lines)
        assert all(len(cue.lines) <= 2 for cue in cues)
        assert all(0.9 < cue.end - cue.start <= 7.001 for cue in cues)
        assert all(after.start - before.end >= 0.079 for before, after in pairwise(cues))
        said = " ".join(line for cue in cues for line in cue.lines)
        assert said == " ".join(one.text for one in segments)
    assert found.too_fast == sum(cue.characters_per_second > 20.01 for cue in found.cues) == 0


def test_speech_that_is_too_fast_is_counted() -> None:
    fast = [Segment(0.0, 1.0, "far too many words are said in a single second", ())]
    fast.append(Segment(1.0, 3.0, "and on it goes", ()))
    assert make_subtitles(fast, Limits(), language="en").too_fast == 1


def test_a_short_cue_is_stretched_into_the_pause_that_follows() -> None:
    (cue,) = make_subtitles([Segment(2.0, 2.3, "Twelve words", ())], Limits(), language="en").cues
    assert (cue.start, cue.end) == (2.0, 3.0)


def test_a_translation_shares_its_segments_time() -> None:
    segments = [Segment(0.0, 8.0, "One sentence.", ())]
    text = "Una frase muy larga que no cabe en dos lineas de treinta y dos letras cada una, ni en cuatro."
    found = translated_subtitles(segments, [text], Limits(), language="es")
    assert found.language == "es"
    assert (found.cues[0].start, len(found.cues)) == (0.0, 2)
    assert " ".join(line for cue in found.cues for line in cue.lines) == text


def test_lines_are_balanced() -> None:
    assert wrap(["it", "also", "joins", "small", "layers", "so", "that", "one"], 32) == [
        "it also joins small",
        "layers so that one",
    ]


def test_srt_and_vtt_are_read_back_by_their_parsers() -> None:
    segments = [Segment(3723.5, 3725.25, "Is 1 < 2 & so on?", ())]
    cues = make_subtitles(segments, Limits(), language="en").cues
    (item,) = srt.parse(to_srt(cues))
    assert (item.start.total_seconds(), item.content) == (3723.5, "Is 1 < 2 & so on?")
    (caption,) = webvtt.from_string(to_vtt(cues))
    assert (caption.start, caption.end) == ("01:02:03.500", "01:02:05.250")
    assert caption.raw_text == "Is 1 &lt; 2 &amp; so on?"


def test_limits_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ConfigError, match="lines must have 16 to 65 characters, got 32 and 80"):
        Limits(line_chars=80)
    for name in ("gap_seconds", "characters_per_second"):
        with pytest.raises(ConfigError, match="nan"):
            Limits(**{name: float("nan")})
    with pytest.raises(ConfigError, match="min_chapter_seconds must be positive"):
        Settings(min_chapter_seconds=float("nan"))
    with pytest.raises(ConfigError, match="guid begins or ends with a space: ' 1'"):
        Settings(guid=" 1")


def test_there_are_no_more_chapters_than_a_tag_can_count() -> None:
    topics = ["kernel", "garden", "orchestra", "battery", "river", "harbour"]
    said = [
        Segment(6.0 * at, 6.0 * at + 5, f"The {topics[at // 8 % 6]} is a {topics[at // 8 % 6]}.", ())
        for at in range(6000)
    ]
    found = find_chapters(said, duration=36_000.0, language="en", min_seconds=10)
    assert len(found) == MAX_CHAPTERS
    assert found[-1].end == 36_000.0


def test_a_description_that_is_too_long_ends_with_a_whole_line() -> None:
    pytest.importorskip("lxml")
    from examples.podcast.feed import _cut

    lines = [f"{number:05d} A chapter" for number in range(400)]
    kept = _cut("\n".join(lines))
    assert 3980 < len(kept.encode()) <= 4000
    assert kept.split("\n") == lines[: kept.count("\n") + 1]
    assert _cut("ü" * 3000) == "ü" * 2000
    assert _cut("short\ntext") == "short\ntext"


def test_what_an_error_quotes_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    complain(ConfigError("no [bold]model[/] here", hint='python -m pip install "trtforge[transformers]"'))
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "error no [bold]model[/] here",
        'hint  python -m pip install "trtforge[transformers]"',
    ]


def test_wide_letters_take_two_columns_and_marks_none() -> None:
    assert [columns(text) for text in ("int8", "日本語", "e\u0301", "ก็")] == [4, 6, 1, 1]
    text = "これはとても長い日本語の文です。量子化について話します、そしてそれは難しいことがあります。"
    found = translated_subtitles([Segment(0.0, 8.0, "", ())], [text], Limits(), language="ja")
    assert max(columns(line) for cue in found.cues for line in cue.lines) <= 42
    assert max(columns(line) for cue in found.narrow_cues for line in cue.lines) <= 32
    assert "".join(line for cue in found.cues for line in cue.lines) == text


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("あ" * 8 + "。" + "い", ["あ" * 7, "あ。い"]),
        ("あ" * 7 + "「い」", ["あ" * 7, "「い」"]),
        ("e\u0301" * 17, ["e\u0301" * 16, "e\u0301"]),
        ("ก" * 15 + "เก็ก", ["ก" * 15, "เก็ก"]),
        ("👩\u200d👩" * 5, ["👩\u200d👩" * 4, "👩\u200d👩"]),
        ("。" * 20, ["。" * 8, "。" * 8, "。" * 4]),
        ("x" * 20, ["x" * 16, "x" * 4]),
    ],
)
def test_a_text_without_spaces_is_broken_where_it_may_be(text: str, pieces: list[str]) -> None:
    assert break_up(text, 16) == pieces
