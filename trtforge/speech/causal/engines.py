"""Build the engine of a language model."""

from __future__ import annotations

import os
from pathlib import Path

from trtforge.engine import BuildConfig, Engine, build
from trtforge.errors import ConfigError
from trtforge.model import load_model, model_inputs
from trtforge.nvidia import Flavor
from trtforge.speech.causal.networks import DECODER, ENGINE, positions_of
from trtforge.speech.generation import decoder_profiles


def build_language_model(
    folder: str | os.PathLike[str],
    *,
    num_rows: int = 1,
    num_positions: int = 2048,
    max_prefill: int = 128,
    config: BuildConfig | None = None,
    flavor: Flavor | str | None = None,
) -> Engine:
    """Build the decoder, and save it beside the network.

    Parameters
    ----------
    folder : where `export_language_model` wrote the network.
    num_rows : prompts at a time; the engine takes just so many rows.
    num_positions : symbols of the longest prompt with its text; no more than the checkpoint has.
    max_prefill : most symbols of prompts to give at once; 2 or more.
    config : how to build; ``float16`` by default.
    flavor : the library, as `trtforge.nvidia.select` takes it.

    Returns
    -------
    The engine, saved as ``decoder.engine``.

    Raises
    ------
    ConfigError : a size is too small.
    ModelError : the network is missing.
    TrtforgeError : the engine cannot be built.
    """
    for name, size in (("num_rows", num_rows), ("num_positions", num_positions)):
        if size < 1:
            raise ConfigError(f"{name} must be 1 or more, got {size}", settings=(name,))
    folder = Path(folder)
    positions = min(num_positions, positions_of(folder))
    profiles = decoder_profiles(
        model_inputs(load_model(folder / DECODER)),
        num_rows=num_rows,
        num_positions=positions,
        max_prefill=max_prefill,
    )
    engine = build(
        folder / DECODER, profiles=profiles, config=config or BuildConfig(precision="float16"), flavor=flavor
    )
    engine.save(folder / ENGINE)
    return engine
