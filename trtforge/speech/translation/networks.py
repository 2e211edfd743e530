"""The two networks of a translation checkpoint: traced, or read from a folder where they were written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtforge._files import write_json
from trtforge._optional import require
from trtforge.errors import ModelError
from trtforge.model import load_model
from trtforge.speech.generation import Networks, export_networks

if TYPE_CHECKING:
    from trtforge.speech.generation.export import KvDtype

_FORMAT = "trtforge.translator/1"
_SIDECAR = "translator.json"
_ENCODER, _DECODER = "encoder.onnx", "decoder.onnx"


def networks_of(checkpoint: str, *, num_masks: int, kv_dtype: KvDtype = "float32") -> Networks:
    """Read the networks that `export_translator` wrote into a folder, or trace the checkpoint's own weights.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub.
    num_masks : sets of symbols that its rules forbid.
    kv_dtype : of keys and values in memory, where it is traced.

    Raises
    ------
    MissingExtraError : PyTorch or `transformers` is needed and not installed.
    ModelError : the checkpoint cannot be read or traced.
    """
    folder = Path(checkpoint)
    if (folder / _SIDECAR).is_file():
        return _read(folder)
    return export_networks(load_checkpoint(checkpoint), num_masks=num_masks, kv_dtype=kv_dtype)


def load_checkpoint(checkpoint: str) -> Any:
    """Load a translation checkpoint's weights as PyTorch module in FP32 on the CPU.

    Raises
    ------
    MissingExtraError : PyTorch or `transformers` is not installed.
    ModelError : the checkpoint cannot be read.
    """
    torch = require("torch", "trace a translation checkpoint")
    transformers = require("transformers", "read translation checkpoints")
    try:
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(checkpoint, dtype=torch.float32)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"the weights of {checkpoint} cannot be read: {reason}") from error
    return model.eval()


def export_translator(
    checkpoint: str, folder: str | os.PathLike[str], *, num_masks: int = 1, kv_dtype: KvDtype = "float32"
) -> None:
    """Write networks, configuration and tokenizer of a checkpoint, so that it runs without PyTorch.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub.
    folder : where to write; it is made.
    num_masks, kv_dtype : as for `networks_of`.

    Raises
    ------
    MissingExtraError, ModelError : as for `networks_of`.
    """
    import onnx

    transformers = require("transformers", "read translation checkpoints")
    networks = networks_of(checkpoint, num_masks=num_masks, kv_dtype=kv_dtype)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    onnx.save(networks.encoder, str(target / _ENCODER))
    onnx.save(networks.decoder, str(target / _DECODER))
    transformers.AutoConfig.from_pretrained(checkpoint).save_pretrained(target)
    transformers.AutoTokenizer.from_pretrained(checkpoint).save_pretrained(target)
    generation = Path(checkpoint) / "generation_config.json"
    if generation.is_file():
        shutil.copyfile(generation, target / generation.name)
    write_json(target / _SIDECAR, {"format": _FORMAT, "num_positions": networks.num_positions})


def _read(folder: Path) -> Networks:
    try:
        told = json.loads((folder / _SIDECAR).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{folder / _SIDECAR} cannot be read: {error}") from error
    positions = (
        told.get("num_positions") if isinstance(told, dict) and told.get("format") == _FORMAT else None
    )
    if type(positions) is not int or positions < 1:
        raise ModelError(
            f"{folder / _SIDECAR} is not what export_translator writes: it lacks "
            f'"format": "{_FORMAT}" or a count num_positions'
        )
    return Networks(load_model(folder / _ENCODER), load_model(folder / _DECODER), positions)
