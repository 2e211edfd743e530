"""The two networks of a translation checkpoint: traced, or read from a folder where they were written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trtforge._files import write_json
from trtforge._optional import require
from trtforge.errors import ConfigError, ModelError
from trtforge.external_data import save_model
from trtforge.model import load_model
from trtforge.runtime import OnnxRunner, Session
from trtforge.speech.generation import Networks, export_networks
from trtforge.speech.generation.checkpoints import (
    STEP_GRAPHS,
    check_kv_dtype,
    load_checkpoint,
    read_positions,
)
from trtforge.speech.translation.text import rules_of

if TYPE_CHECKING:
    from trtforge.speech.generation.export import KvDtype

_FORMAT = "trtforge.translator/1"
_SIDECAR = "translator.json"
_ENCODER, _DECODER = "encoder.onnx", "decoder.onnx"

Device = Literal["cpu", "gpu"]


def open_networks(
    checkpoint: str, device: Device, *, num_masks: int, num_threads: int | None = None
) -> tuple[tuple[Any, Any], int]:
    """Open encoder and decoder where they run.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub; for a GPU a folder that `build_translator` put engines into.
    device : ``cpu`` or ``gpu``.
    num_masks : sets of symbols that the checkpoint's rules forbid.
    num_threads : threads inside an operator on the CPU.

    Returns
    -------
    Both networks, and the symbols that a sequence can have.

    Raises
    ------
    ConfigError : the device is unknown.
    ModelError : the networks cannot be read or traced, or the engines are missing.
    NoGpuError : there is no GPU.
    """
    if device not in ("cpu", "gpu"):
        raise ConfigError(f"device must be 'cpu' or 'gpu', got {device!r}", settings=("device",))
    if device == "cpu":
        networks = networks_of(checkpoint, num_masks=num_masks)
        encoder = OnnxRunner(networks.encoder, num_threads=num_threads)
        return (encoder, OnnxRunner(networks.decoder, num_threads=num_threads)), networks.num_positions
    folder = Path(checkpoint)
    paths = [folder / Path(name).with_suffix(".engine") for name in (_ENCODER, _DECODER)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise ModelError(
            f"{folder} lacks {', '.join(missing)}",
            hint="export_translator(checkpoint, folder), then build_translator(folder) on the GPU's machine",
        )
    encoding = Session(paths[0], max_contexts=1)
    try:
        return (encoding, Session(paths[1], max_contexts=1, cuda_graphs=STEP_GRAPHS)), _positions(folder)
    except BaseException:
        encoding.close()
        raise


def networks_of(checkpoint: str, *, num_masks: int, kv_dtype: KvDtype | None = None) -> Networks:
    """Read the networks that `export_translator` wrote into a folder, or trace the checkpoint's own weights.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub.
    num_masks : sets of symbols that its rules forbid.
    kv_dtype : of keys and values in memory; None takes what was exported, and FP32 where it is traced.

    Raises
    ------
    MissingExtraError : PyTorch or `transformers` is needed and not installed.
    ConfigError : the networks were exported with another ``kv_dtype``.
    ModelError : the checkpoint cannot be read or traced.
    """
    folder = Path(checkpoint)
    if (folder / _SIDECAR).is_file():
        networks = _read(folder)
        if kv_dtype is not None:
            check_kv_dtype(networks.decoder, kv_dtype, folder)
        return networks
    model = load_checkpoint(checkpoint, "seq2seq")
    return export_networks(model, num_masks=num_masks, kv_dtype=kv_dtype or "float32")


def export_translator(
    checkpoint: str, folder: str | os.PathLike[str], *, kv_dtype: KvDtype = "float32"
) -> None:
    """Write networks, configuration and tokenizer of a checkpoint, so that it runs without PyTorch.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub.
    folder : where to write; it is made.
    kv_dtype : of keys and values in memory; ``float16`` halves what every step on a GPU must read.

    Raises
    ------
    MissingExtraError, ConfigError, ModelError : as for `networks_of`.
    """
    transformers = require("transformers", "read translation checkpoints")
    num_masks = len(rules_of(checkpoint).masks)
    networks = networks_of(checkpoint, num_masks=num_masks, kv_dtype=kv_dtype)
    target = Path(folder)
    write_networks(networks, target)
    transformers.AutoConfig.from_pretrained(checkpoint).save_pretrained(target)
    transformers.AutoTokenizer.from_pretrained(checkpoint).save_pretrained(target)
    with suppress(OSError):  # a checkpoint may have none
        transformers.GenerationConfig.from_pretrained(checkpoint).save_pretrained(target)


def write_networks(networks: Networks, folder: Path) -> None:
    """Write both networks and how long a sequence can be."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(networks.encoder, folder / _ENCODER)
    save_model(networks.decoder, folder / _DECODER)
    write_json(folder / _SIDECAR, {"format": _FORMAT, "num_positions": networks.num_positions})


def _read(folder: Path) -> Networks:
    return Networks(load_model(folder / _ENCODER), load_model(folder / _DECODER), _positions(folder))


def _positions(folder: Path) -> int:
    return read_positions(folder / _SIDECAR, format=_FORMAT, written_by="export_translator")
