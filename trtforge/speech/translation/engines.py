"""Build the engines of a translation checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

from trtforge.engine import BuildConfig, Engine, build
from trtforge.errors import ConfigError, ModelError
from trtforge.model import load_model, model_inputs
from trtforge.nvidia import Flavor
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.speech.generation import decoder_profiles
from trtforge.speech.translation.networks import networks_of


def build_translator(
    folder: str | os.PathLike[str],
    *,
    num_rows: int = 32,
    max_source: int = 128,
    num_positions: int = 128,
    config: BuildConfig | None = None,
    flavor: Flavor | str | None = None,
) -> dict[str, Engine]:
    """Build encoder and decoder, and save them beside the networks.

    Parameters
    ----------
    folder : where `export_translator` wrote the networks.
    num_rows : sentences translated at a time; the decoder's engine takes just so many rows.
    max_source, num_positions : symbols of the longest source, and of the longest translation with its prompt;
        no more than the checkpoint has positions. Longer sentences are translated in parts.
    config : how to build; ``float16`` by default.
    flavor : the library, as `trtforge.nvidia.select` takes it.

    Returns
    -------
    Part to engine, saved as ``encoder.engine`` and ``decoder.engine``.

    Raises
    ------
    ConfigError : a size is below 1.
    ModelError : a network is missing.
    TrtforgeError : an engine cannot be built.
    """
    for name, size in (("num_rows", num_rows), ("max_source", max_source), ("num_positions", num_positions)):
        if size < 1:
            raise ConfigError(f"{name} must be 1 or more, got {size}", settings=(name,))
    folder = Path(folder)
    if not (folder / "translator.json").is_file():
        raise ModelError(f"{folder} lacks translator.json", hint="export_translator(checkpoint, folder)")
    known = networks_of(str(folder), num_masks=1).num_positions
    longest, positions = min(max_source, known), min(num_positions, known)
    inputs = model_inputs(load_model(folder / "decoder.onnx"))
    profiles = {
        "encoder": (
            OptimizationProfile(
                {
                    "tokens": ShapeRange((1, 1), (num_rows, max(1, longest // 4)), (num_rows, longest)),
                    "lengths": ShapeRange((1,), (num_rows,), (num_rows,)),
                }
            ),
        ),
        "decoder": decoder_profiles(
            inputs, num_rows=num_rows, num_positions=positions, memory_length=longest
        ),
    }
    built = {}
    for part, wanted in profiles.items():
        engine = build(
            folder / f"{part}.onnx",
            profiles=wanted,
            config=config or BuildConfig(precision="float16"),
            flavor=flavor,
        )
        engine.save(folder / f"{part}.engine")
        built[part] = engine
    return built
