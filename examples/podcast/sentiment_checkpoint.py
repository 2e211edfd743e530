"""Sentiment by a text-classification checkpoint of `transformers`, as an ONNX network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.podcast.records import Mood
from trtforge._files import sha256
from trtforge._optional import require
from trtforge.engine.exporting import export_module
from trtforge.errors import ConfigError, ModelError
from trtforge.model import model_digest
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.runtime import OnnxRunner

_MAX_TOKENS = 128
_BATCH = 16


class SentimentCheckpoint:
    """A sequence classifier with a positive and a negative class, exported by trtforge, run by ONNX Runtime.

    A text's score is the probability of the positive class less that of the negative one; its label is that
    of the likeliest class. What `network` holds can be built into an engine too.

    Parameters
    ----------
    folder : a checkpoint of `transformers` with ``config.json``, weights in safetensors, and a tokenizer.
        Its classes must be named ``positive`` and ``negative``, and may have a third, ``neutral``.

    Raises
    ------
    ConfigError : the classes have other names.
    ModelError : the checkpoint cannot be read or exported.
    MissingExtraError : PyTorch is not installed.
    """

    def __init__(self, folder: Path) -> None:
        torch = require("torch", "export a text-classification checkpoint")
        try:
            import transformers
        except ModuleNotFoundError as error:
            raise ConfigError(
                "transformers is needed to read a text-classification checkpoint",
                hint="pip install transformers",
            ) from error
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no checkpoint: there is no config.json")
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, attn_implementation="eager"
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"{folder} holds no text classifier that can be read: {error}") from None
        self._labels = _labels(model.config.id2label)
        self._length = min(_MAX_TOKENS, int(getattr(model.config, "max_position_embeddings", _MAX_TOKENS)))
        self.network = _export(torch, model, self._length)
        vocabulary = str(sorted(self._tokenizer.get_vocab().items())).encode()
        self.digest = sha256(f"{model_digest(self.network)} {self._labels} {sha256(vocabulary)}".encode())
        self._runner = OnnxRunner(self.network)

    def close(self) -> None:
        """Give the network back."""
        self._runner.close()

    def judge(self, texts: Sequence[str]) -> list[Mood]:
        """Return one mood for each text; of a text longer than 128 tokens its beginning is judged."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        moods: dict[int, Mood] = {}
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            for row, probabilities in zip(rows, self._probabilities([texts[i] for i in rows]), strict=True):
                moods[row] = self._mood(probabilities)
        return [moods[index] for index in range(len(texts))]

    def _probabilities(self, texts: list[str]) -> NDArray[np.float64]:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._length, return_tensors="np"
        )
        arrays = {name: tokens[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
        logits = self._runner(arrays)["logits"].astype(np.float64)
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True))

    def _mood(self, probabilities: NDArray[np.float64]) -> Mood:
        by_label = dict(zip(self._labels, probabilities.tolist(), strict=True))
        score = by_label["positive"] - by_label["negative"]
        return Mood(max(by_label, key=lambda label: by_label[label]), round(score, 4))


def _labels(id2label: dict[int, str]) -> list[str]:
    labels = [str(id2label[index]).lower() for index in range(len(id2label))]
    if not {"positive", "negative"} <= set(labels) <= {"positive", "negative", "neutral"}:
        raise ConfigError(
            "a sentiment checkpoint must have classes named positive and negative, and may have neutral; got "
            f"{labels}",
            hint="name them under id2label in its config.json",
        )
    return labels


def _export(torch: Any, model: Any, length: int) -> Any:
    class Logits(torch.nn.Module):  # type: ignore[misc]
        """The classifier with two inputs and one result."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=False)[0]

    shapes = ShapeRange((1, 1), (_BATCH, min(32, length)), (_BATCH, length))
    profile = OptimizationProfile({"input_ids": shapes, "attention_mask": shapes})
    example = np.ones((2, 7), np.int64)
    return export_module(
        Logits(),
        {"input_ids": example, "attention_mask": example},
        profiles=[profile],
        output_names=["logits"],
    )
