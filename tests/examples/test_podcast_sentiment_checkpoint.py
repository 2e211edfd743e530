"""A text-classification checkpoint through trtforge's export, against PyTorch."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxruntime")

import torch
import transformers

from examples.podcast.sentiment_checkpoint import SentimentCheckpoint
from trtforge.errors import ConfigError, ModelError

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*MARKS, "i", "love", "hate", "this", "engine", "it", "is", "bad", "good", ".", "very"]
TEXTS = ["I love this engine.", "It is bad", "I hate this very very very bad engine.", "good"]


def write_checkpoint(folder: Path, labels: tuple[str, ...]) -> Path:
    """Write a BERT with random weights and a tokenizer of sixteen words."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=24,
        initializer_range=0.6,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_its_probabilities_are_those_of_pytorch(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, ("NEGATIVE", "neutral", "POSITIVE"))
    moods = SentimentCheckpoint(folder).judge(TEXTS)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, mood in zip(TEXTS, moods, strict=True):
        with torch.no_grad():
            wanted = model(**tokenizer(text, return_tensors="pt")).logits.softmax(dim=1)[0].numpy()
        assert mood.score == pytest.approx(float(wanted[2] - wanted[0]), abs=2e-4)
        assert mood.label == ("negative", "neutral", "positive")[int(wanted.argmax())]
    assert len({mood.score for mood in moods}) == 4
    assert not np.allclose([mood.score for mood in moods], 0, atol=0.01)


def test_a_long_text_is_cut_at_what_the_network_takes(tmp_path: Path) -> None:
    checkpoint = SentimentCheckpoint(write_checkpoint(tmp_path, ("negative", "positive")))
    long, cut = checkpoint.judge(["good " * 90, "good " * 22])
    assert long == cut


def test_its_digest_follows_its_weights(tmp_path: Path) -> None:
    one = SentimentCheckpoint(write_checkpoint(tmp_path / "one", ("negative", "positive")))
    two = SentimentCheckpoint(write_checkpoint(tmp_path / "two", ("positive", "negative")))
    assert one.digest == SentimentCheckpoint(tmp_path / "one").digest
    assert one.digest != two.digest


def test_classes_of_other_names_are_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, ("joy", "anger"))
    with pytest.raises(ConfigError, match=r"classes named positive and negative.*got \['joy', 'anger'\]"):
        SentimentCheckpoint(tmp_path)


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no config\.json"):
        SentimentCheckpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="holds no text classifier that can be read"):
        SentimentCheckpoint(tmp_path)
