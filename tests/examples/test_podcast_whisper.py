"""A Whisper checkpoint of random weights as the pipeline's recogniser."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")
pytest.importorskip("msgspec")
pytest.importorskip("wordfreq")

import numpy as np
import soundfile

from examples.podcast.__main__ import main
from examples.podcast.recognition import transcribe
from examples.podcast.records import Region
from examples.podcast.whisper_recognizer import WhisperRecognizer
from tests.examples.podcast_clips import SAMPLING_RATE
from tests.speech.whisper import small
from trtforge.speech import Whisper
from trtforge.speech.whisper import Fallback, TranscribeSettings, export_whisper

SETTINGS = TranscribeSettings(fallback=Fallback(temperatures=(0.0,)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("whisper") / "tiny"
    export_whisper((small.model(), small.tokenizer()), made)
    return made


def test_each_piece_has_the_words_that_whisper_finds_in_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examples.podcast.whisper_recognizer._PIECES_AT_A_TIME", 2)
    pieces = [small.noise(1.4, seed) for seed in range(5)]
    recognizer = WhisperRecognizer(folder, settings=SETTINGS)
    found = list(recognizer.recognise(iter(pieces)))
    assert len(found) == 5
    assert any(found)
    with Whisper.load(folder) as whisper:
        for piece, words in zip(pieces, found, strict=True):
            soundfile.write(tmp_path / "piece.wav", piece, SAMPLING_RATE, subtype="FLOAT")
            settings = TranscribeSettings(language="en", fallback=SETTINGS.fallback)
            assert words == whisper.transcribe(tmp_path / "piece.wav", settings).words
    assert all(0 <= word.start <= word.end <= 1.41 for words in found for word in words)


def test_its_passages_lie_in_their_regions(folder: Path, tmp_path: Path) -> None:
    noise = np.concatenate([small.noise(1.5, 2), np.zeros(SAMPLING_RATE, np.float32), small.noise(1.5, 3)])
    soundfile.write(tmp_path / "part.flac", noise, SAMPLING_RATE)
    # A language without a list of words, since random weights write none of any.
    recognizer = WhisperRecognizer(folder, settings=SETTINGS)
    recognizer.language = "xx"
    regions = [Region(0.0, 1.5), Region(2.5, 4.0)]
    found = transcribe(tmp_path / "part.flac", regions, recognizer, lambda done, total: None)
    assert (found.recognizer, found.punctuated, found.known_share) == ("tiny", True, 1.0)
    assert found.passages
    for passage in found.passages:
        assert Region(passage.start, passage.end) in regions
        assert all(passage.start <= word.start <= word.end <= passage.end for word in passage.words)


def test_two_recognisers_exclude_each_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--whisper", str(folder), "--recognizer", "other.onnx", "-o", str(tmp_path / "out")]
    assert main(["part.wav", *arguments]) == 2
    assert "--recognizer and --whisper exclude each other" in capsys.readouterr().err
