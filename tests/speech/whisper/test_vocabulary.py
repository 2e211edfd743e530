import json
import zlib

import pytest

from trtforge.errors import ConfigError, ModelError
from trtforge.speech import Segment, Transcript, Word
from trtforge.speech.generation import Generated, Request
from trtforge.speech.whisper import Fallback, WhisperDescription, WhisperRules, WhisperVocabulary
from trtforge.speech.whisper.quality import compression_ratio

# Bytes, the end, the start, two languages, two tasks, no speech, no times, and times from 263 on.
KNOWN = WhisperVocabulary(
    tuple(bytes([byte]) for byte in range(256)),
    start=257, stop=256, no_speech=261, no_timestamps=262,
    languages={"en": 258, "ja": 259}, tasks={"transcribe": 260, "translate": 260},
    suppressed=(5,), suppressed_first=(6,), max_initial_time=2,
)  # fmt: skip


def words(text, language="en"):
    return KNOWN.words(list(text.encode()), language)


def test_words_begin_at_spaces_and_keep_their_punctuation():
    joined = tuple(piece.encode() for piece in (" Don", "'t", " stop", "!", " \u00bfNo", "?", " ", "x"))
    known = WhisperVocabulary(joined, 9, 8, 10, 11, {}, {}, (), ())
    assert known.words(range(8), "en") == [("Don't", 0, 2), ("stop!", 2, 4), ("\u00bfNo?", 4, 6), ("x", 6, 8)]
    assert known.words([], "en") == []


def test_letters_of_several_symbols_stay_whole():
    assert [word for word, _, _ in words("日本語。", "ja")] == ["日", "本", "語。"]
    assert words("日本", "ja")[1] == ("本", 3, 6)
    assert [word for word, _, _ in words("caf\u00e9 ol\u00e9")] == ["caf\u00e9", "ol\u00e9"]
    assert KNOWN.words(list("\u00e9".encode())[:1], "en") == [("\ufffd", 0, 1)]


def test_prompts_name_what_is_asked():
    assert KNOWN.prompt("ja", "transcribe", timestamps=False) == (257, 259, 260, 262)
    assert KNOWN.prompt("en", "transcribe", timestamps=True) == (257, 258, 260)
    english = WhisperVocabulary((b"a",), 2, 1, 3, 4, {}, {}, (), ())
    assert english.prompt("en", "transcribe", timestamps=False) == (2, 4)
    with pytest.raises(ConfigError, match=r"has no language 'xx'; it has en, ja"):
        KNOWN.prompt("xx", "transcribe", timestamps=False)
    with pytest.raises(ConfigError, match="knows English alone and transcribes, got 'ja'"):
        english.prompt("ja", "transcribe", timestamps=False)
    with pytest.raises(ConfigError, match="task must be one of"):
        KNOWN.prompt("en", "summarize", timestamps=False)


def test_times_come_in_pairs_and_never_go_back():
    rules = WhisperRules(KNOWN, 300, timestamps=True)

    def allowed(*generated):
        choice = rules.allow(generated)
        banned = rules.masks[choice.mask] | set(range(choice.ban_from, choice.ban_to))
        return set(range(300)) - banned

    assert allowed() == {263, 264, 265}  # a time, no later than the third
    assert not allowed(264) & set(range(263, 300))  # then text, or the end
    assert {65, 256} <= allowed(264)
    assert 5 not in allowed(264)
    assert allowed(264, 65) & set(range(263, 300)) == set(range(265, 300))
    assert allowed(264, 65, 270) == {*range(256, 262), *range(270, 300)}  # the same time again, or the end
    assert not allowed(264, 65, 270, 270) & set(range(263, 300))
    assert allowed(264, 65, 270, 270, 66) & set(range(263, 300)) == set(range(271, 300))
    assert rules.allow([264, 65]).group_from == 263
    plain = WhisperRules(KNOWN, 300)
    assert [plain.masks[plain.allow(before).mask] for before in ([], [65])] == [{5, 6}, {5}]


def test_a_description_is_read_as_it_was_written(tmp_path):
    description = WhisperDescription(KNOWN, 300, 80, 3000, 448, 7)
    description.save(tmp_path)
    assert WhisperDescription.load(tmp_path) == description
    (tmp_path / "whisper.json").write_text('{"format": 2}')
    with pytest.raises(ModelError, match="is no Whisper description of format 1"):
        WhisperDescription.load(tmp_path)
    (tmp_path / "whisper.json").write_text('{"format": 1, "vocabulary": {"pieces": ["zz"]}}')
    with pytest.raises(ModelError, match="this is no Whisper vocabulary"):
        WhisperDescription.load(tmp_path)


def test_a_text_is_drawn_again_where_it_repeats_itself_or_is_unlikely():
    fallback = Fallback()
    found = {
        score: Generated(Request((1,), 5, frozenset()), (1, 2), (score, score), stopped=False)
        for score in (-0.5, -1.5)
    }
    repeated, plain = "again and " * 30, "every word of this is another"
    assert compression_ratio(repeated) == len(repeated) / len(zlib.compress(repeated.encode())) > 2.4
    assert compression_ratio("") == 1.0
    assert fallback.is_good(found[-0.5], plain)
    assert not fallback.is_good(found[-0.5], repeated)
    assert not fallback.is_good(found[-1.5], plain)
    assert fallback.is_silence(found[-1.5], 0.7)
    assert not fallback.is_silence(found[-1.5], 0.5)
    assert not fallback.is_silence(found[-0.5], 0.9)


def test_a_transcript_is_joined_as_its_language_is_written():
    words = (Word("a", 0.0, 0.1), Word("b", 0.1, 0.2, 0.5))
    assert Transcript(words, 1.0).text == "a b"
    segments = tuple(Segment(0.0, 1.0, text, -0.1, 1.0, 0.0, 0.0) for text in ("日本", "語"))
    assert Transcript((), 1.0, segments, "ja").text == "日本語"
    assert Transcript((), 1.0, segments, "en").text == "日本 語"
    told = json.loads(json.dumps(Transcript(words, 1.0, segments, "ja", 0.9).to_json()))
    assert told["words"][1] == {"text": "b", "start": 0.1, "end": 0.2, "probability": 0.5}
    assert told["segments"][0]["temperature"] == 0.0
