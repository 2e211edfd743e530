"""Write a Whisper checkpoint as networks and a description that need no PyTorch to run."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trtforge._files import read_json, write_json
from trtforge.errors import ModelError
from trtforge.external_data import save_model
from trtforge.speech.generation.checkpoints import load_checkpoint, read_config_and_tokenizer
from trtforge.speech.generation.export import KvDtype, export_aligner, export_networks
from trtforge.speech.whisper.rules import NUM_MASKS
from trtforge.speech.whisper.vocabulary import WhisperVocabulary

DESCRIPTION = "whisper.json"
PARTS = ("encoder", "decoder", "aligner")
_FORMAT = 1


@dataclass(frozen=True)
class WhisperDescription:
    """What must be known of a Whisper checkpoint beside its networks.

    Parameters
    ----------
    vocabulary : its symbols.
    num_symbols : size of the networks' vocabulary.
    num_mels, num_frames : of a window's features.
    num_positions : symbols that the decoder can hold.
    median_width : steps of 20 ms to smooth attention over.
    """

    vocabulary: WhisperVocabulary
    num_symbols: int
    num_mels: int
    num_frames: int
    num_positions: int
    median_width: int

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write it into a folder."""
        values = {**asdict(self), "vocabulary": self.vocabulary.to_json()}
        write_json(Path(folder) / DESCRIPTION, {"format": _FORMAT, **values})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> WhisperDescription:
        """Read what `save` wrote.

        Raises
        ------
        ModelError : it is missing or something else.
        """
        path = Path(folder) / DESCRIPTION
        values = read_json(path, what="Whisper description", error=ModelError)
        if not isinstance(values, dict) or values.pop("format", None) != _FORMAT:
            raise ModelError(f"{path} is no Whisper description of format {_FORMAT}")
        try:
            vocabulary = WhisperVocabulary.from_json(values.pop("vocabulary"))
            wrong = [name for name, size in values.items() if type(size) is not int or size < 1]
            if wrong:
                raise ModelError(f"{path} is no Whisper description: {', '.join(wrong)} must be 1 or more")
            found = cls(vocabulary, **values)
            vocabulary.check(found.num_symbols)
            return found
        except (TypeError, KeyError) as error:
            raise ModelError(f"{path} is no Whisper description: {error}") from error


def export_whisper(
    checkpoint: str | os.PathLike[str] | tuple[Any, Any],
    folder: str | os.PathLike[str],
    *,
    kv_dtype: KvDtype = "float32",
) -> WhisperDescription:
    """Write a checkpoint's encoder, decoder and aligner as ONNX networks, and its description.

    Parameters
    ----------
    checkpoint : folder or id of a ``transformers`` Whisper checkpoint, or its model and tokenizer.
    folder : where ``encoder.onnx``, ``decoder.onnx``, ``aligner.onnx`` and ``whisper.json`` are written.
    kv_dtype : of keys and values in memory; ``float16`` for engines.

    Raises
    ------
    MissingExtraError : PyTorch or ``transformers`` is not installed.
    ModelError : there is no such checkpoint, it is incomplete or no Whisper checkpoint, or PyTorch cannot
        trace it.
    """
    model, tokenizer = checkpoint if isinstance(checkpoint, tuple) else _loaded(checkpoint)
    if getattr(model.config, "model_type", None) != "whisper":
        raise ModelError(f"the checkpoint is of kind {model.config.model_type!r}, wanted 'whisper'")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = model.generation_config
    num_symbols = int(model.proj_out.weight.shape[0])
    vocabulary = WhisperVocabulary.of_checkpoint(tokenizer, settings, num_symbols)
    heads = _alignment_heads(model.config, settings)
    median_width = model.config.median_filter_width
    if type(median_width) is not int or median_width < 1 or median_width % 2 == 0:
        raise ModelError(f"the checkpoint's median_filter_width must be odd, got {median_width!r}")
    networks = export_networks(model, num_masks=NUM_MASKS, ranged=True, kv_dtype=kv_dtype)
    save_model(networks.encoder, folder / "encoder.onnx")
    save_model(networks.decoder, folder / "decoder.onnx")
    aligner = export_aligner(model, heads, kv_dtype=kv_dtype)
    save_model(aligner, folder / "aligner.onnx")
    description = WhisperDescription(
        vocabulary,
        num_symbols,
        int(model.config.num_mel_bins),
        2 * int(model.config.max_source_positions),
        networks.num_positions,
        median_width,
    )
    description.save(folder)
    return description


def _loaded(checkpoint: str | os.PathLike[str]) -> tuple[Any, Any]:
    name = os.fspath(checkpoint)
    # Whatever kind it is, so that another kind is named by the error that refuses it.
    model = load_checkpoint(name, "speech")
    return model, read_config_and_tokenizer(name)[1]


def _alignment_heads(config: Any, settings: Any) -> list[tuple[int, int]]:
    """Return the heads that align; all of the later half of the layers, where a checkpoint does not say."""
    layers, heads = int(config.decoder_layers), int(config.decoder_attention_heads)
    known = {(layer, head) for layer in range(layers) for head in range(heads)}
    told = getattr(settings, "alignment_heads", None)
    if not told:
        return sorted(pair for pair in known if pair[0] >= layers // 2)
    try:
        found = [(layer, head) for layer, head in told]
    except (TypeError, ValueError):
        found = []
    if not found or not known.issuperset(found):
        raise ModelError(
            f"the checkpoint's alignment_heads must be pairs of a layer below {layers} and a head below "
            f"{heads}, got {str(told)[:80]}",
            hint="take generation_config.json from the checkpoint that this one was made of",
        )
    return found
