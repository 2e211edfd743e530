"""The network of a language model: traced, or read from a folder where it was written."""

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
from trtforge.speech.causal.prompts import PromptSide
from trtforge.speech.generation import CausalNetwork, export_causal
from trtforge.speech.generation.checkpoints import (
    STEP_GRAPHS,
    check_kv_dtype,
    load_checkpoint,
    read_positions,
)

if TYPE_CHECKING:
    from trtforge.speech.generation.export import KvDtype

DECODER, ENGINE = "decoder.onnx", "decoder.engine"
_FORMAT = "trtforge.language_model/1"
_SIDECAR = "language_model.json"

Device = Literal["cpu", "gpu"]


def open_decoder(
    checkpoint: str, device: Device, *, max_positions: int, num_threads: int | None = None
) -> tuple[Any, int]:
    """Open the network where it runs, and say how many symbols a row can hold.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub; for a GPU a folder that `build_language_model` put an
        engine into.
    device : ``cpu`` or ``gpu``.
    max_positions : most symbols of a row.
    num_threads : threads inside an operator on the CPU.

    Raises
    ------
    ConfigError : the device is unknown, or ``max_positions`` below 1.
    ModelError : the network cannot be read or traced, or the engine is missing.
    NoGpuError : there is no GPU.
    """
    if device not in ("cpu", "gpu"):
        raise ConfigError(f"device must be 'cpu' or 'gpu', got {device!r}", settings=("device",))
    _check_positions(max_positions)
    if device == "cpu":
        network = network_of(checkpoint, max_positions=max_positions)
        return OnnxRunner(network.decoder, num_threads=num_threads), network.num_positions
    folder = Path(checkpoint)
    if not (folder / ENGINE).is_file():
        raise ModelError(
            f"{folder} lacks {ENGINE}",
            hint="export_language_model(checkpoint, folder), then build_language_model(folder) on the GPU's "
            "machine",
        )
    session = Session(folder / ENGINE, max_contexts=1, cuda_graphs=STEP_GRAPHS)
    return session, min(max_positions, positions_of(folder))


def _check_positions(max_positions: int) -> None:
    if max_positions < 1:
        raise ConfigError(
            f"max_positions must be 1 or more, got {max_positions}", settings=("max_positions",)
        )


def network_of(
    checkpoint: str, *, max_positions: int = 4096, kv_dtype: KvDtype | None = None
) -> CausalNetwork:
    """Read the network that `export_language_model` wrote, or trace the checkpoint's own weights.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub.
    max_positions : most symbols of a row.
    kv_dtype : of keys and values in memory; None takes what was exported, and FP32 where it is traced.

    Raises
    ------
    MissingExtraError : PyTorch or `transformers` is needed and not installed.
    ConfigError : ``max_positions`` is below 1, or the network was exported with another ``kv_dtype``.
    ModelError : the checkpoint cannot be read or traced.
    """
    _check_positions(max_positions)
    folder = Path(checkpoint)
    if (folder / _SIDECAR).is_file():
        decoder = load_model(folder / DECODER)
        if kv_dtype is not None:
            check_kv_dtype(decoder, kv_dtype, folder)
        return CausalNetwork(decoder, min(max_positions, positions_of(folder)))
    model = load_checkpoint(checkpoint, "causal")
    return export_causal(model, kv_dtype=kv_dtype or "float32", max_positions=max_positions)


def positions_of(folder: Path) -> int:
    """Read how many symbols a row of an exported network can hold.

    Raises
    ------
    ModelError : the folder has no such description.
    """
    return read_positions(folder / _SIDECAR, format=_FORMAT, written_by="export_language_model")


def describe_network(folder: Path, num_positions: int) -> None:
    """Write beside a network how many symbols a row can hold."""
    write_json(folder / _SIDECAR, {"format": _FORMAT, "num_positions": num_positions})


def export_language_model(
    checkpoint: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    kv_dtype: KvDtype = "float32",
    max_positions: int = 4096,
) -> None:
    """Write network, configuration and tokenizer of a checkpoint, so that it runs without PyTorch.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub.
    folder : where to write; it is made.
    kv_dtype : of keys and values in memory; ``float16`` halves what every step on a GPU must read.
    max_positions : most symbols of a row, prompt and text together.

    Raises
    ------
    MissingExtraError, ConfigError, ModelError : as for `export_causal`; a folder that was exported before
        keeps its ``kv_dtype``, and another one is a ConfigError.
    """
    name, target = os.fspath(checkpoint), Path(folder)
    side = PromptSide.load(name)
    network = network_of(name, max_positions=max_positions, kv_dtype=kv_dtype)
    target.mkdir(parents=True, exist_ok=True)
    save_model(network.decoder, target / DECODER)
    describe_network(target, network.num_positions)
    transformers = require("transformers", "read checkpoints of language models")
    transformers.AutoConfig.from_pretrained(name).save_pretrained(target)
    side.tokenizer.save_pretrained(target)
    with suppress(OSError):  # a checkpoint may have none
        transformers.GenerationConfig.from_pretrained(name).save_pretrained(target)
