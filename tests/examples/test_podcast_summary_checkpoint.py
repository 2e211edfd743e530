"""A summary by checkpoints of random weights, and by one that was trained for a second."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sentencepiece")
pytest.importorskip("onnxruntime")
pytest.importorskip("wordfreq")

import torch

from examples.podcast.digests import checkpoint_digest
from examples.podcast.records import Keyword, Segment
from examples.podcast.summary import Summariser, summarise
from examples.podcast.summary_checkpoint import SummaryCheckpoint
from tests.speech.causal import small
from tests.speech.generation import checkpoints
from trtforge.errors import ConfigError, ModelError, TrtforgeError

TEXTS = [
    "calibration clips are short .",
    "an engine runs fast .",
    "we say it so .",
    "the talk of an engine .",
]


def said(texts: list[str]) -> list[Segment]:
    return [Segment(4.0 * at, 4.0 * at + 3.0, text, ()) for at, text in enumerate(texts)]


def greedy(kind: str, text: str) -> str:
    """What transformers writes about a text, no three symbols twice."""
    tokenizer = small.tokenizer(chat=False)
    given = torch.tensor([tokenizer(text)["input_ids"]])
    model = getattr(checkpoints, kind)(0)
    with torch.no_grad():
        tokens = model.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=20, num_beams=1, do_sample=False,
            no_repeat_ngram_size=3,
        )[0]  # fmt: skip
    return str(tokenizer.decode(tokens, skip_special_tokens=True)).strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SummaryCheckpoint:
    return SummaryCheckpoint(
        small.write(tmp_path_factory.mktemp("bart"), "bart", chat=False), max_new_tokens=20
    )


def test_what_is_written_is_what_transformers_writes(made: SummaryCheckpoint) -> None:
    found = made._writer.write(TEXTS)
    assert found == [greedy("bart", text) for text in TEXTS]
    assert len(set(found)) >= 3


def test_sentences_that_were_not_said_are_left_out_and_central_ones_taken(made: Summariser) -> None:
    # Random weights write of anything but what was said.
    assert made.sentences(said(TEXTS), 2) == []
    summary = summarise(
        said(TEXTS), [Keyword("engine", 2, 1.0)], title="", num_sentences=2, language="en", summariser=made
    )
    assert set(summary.sentences) <= set(TEXTS)
    assert len(summary.sentences) >= 1


def test_a_language_model_summarises_what_fits_it_and_then_the_summaries(tmp_path: Path) -> None:
    def asked(text: str) -> str:
        from examples.podcast.summary_checkpoint import _asked

        return f"{_asked(text)[0].content}\n\n"

    talks = [asked(talk) for talk in small.talks(8, longest=40)]
    folder = small.taught(tmp_path, talks, "clips are short .", positions=96)
    with SummaryCheckpoint(folder, max_new_tokens=8) as made:
        assert made.sentences(said(TEXTS), 3) == ["clips are short ."]
        assert made.sentences(said(TEXTS * 20), 3) == ["clips are short ."]
        assert made.sentences(said(["an engine runs fast ."]), 3) == []
        with pytest.raises(ConfigError, match="the summary checkpoint takes no sentence as long as 'the the"):
            made.sentences(said(["the " * 90]), 3)
    # Its network is given back.
    with pytest.raises(TrtforgeError, match="closed"):
        made.sentences(said(TEXTS), 3)


def test_its_digest_follows_files_and_settings(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    one = checkpoint_digest(tmp_path, 142)
    assert checkpoint_digest(tmp_path, 142) == one
    assert checkpoint_digest(tmp_path, 9) != one
    (tmp_path / "config.json").write_text("{ }")
    assert checkpoint_digest(tmp_path, 142) != one


def test_a_folder_without_such_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no config\.json"):
        SummaryCheckpoint(tmp_path)
    small.tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "d_model": 8}))
    with pytest.raises(ModelError):
        SummaryCheckpoint(tmp_path)
