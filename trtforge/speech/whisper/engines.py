"""Build the engines of a Whisper checkpoint."""

from __future__ import annotations

import os
from pathlib import Path

from trtforge.engine import BuildConfig, Engine, build
from trtforge.errors import ModelError
from trtforge.model import load_model, model_inputs
from trtforge.nvidia import Flavor
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.speech.generation.engine_profiles import decoder_profiles
from trtforge.speech.whisper.checkpoint import PARTS, WhisperDescription


def build_whisper(
    folder: str | os.PathLike[str],
    *,
    num_rows: int = 64,
    encoder_batch: int = 8,
    num_positions: int | None = None,
    config: BuildConfig | None = None,
    flavor: Flavor | str | None = None,
) -> dict[str, Engine]:
    """Build encoder, decoder and aligner, and save them beside the networks.

    Parameters
    ----------
    folder : where `export_whisper` wrote the networks.
    num_rows, encoder_batch : what `Whisper.load` is given: the decoder's engine takes just so many rows.
    num_positions : symbols that a row can hold, prompt and text together; all that the checkpoint can by
        default. Fewer make the engine smaller, and its building shorter.
    config : how to build; ``float16`` by default.
    flavor : the library, as `trtforge.nvidia.select` takes it.

    Returns
    -------
    Part to engine, saved as ``encoder.engine``, ``decoder.engine`` and ``aligner.engine``.

    Raises
    ------
    ModelError : a network or the description is missing.
    TrtforgeError : an engine cannot be built.
    """
    folder = Path(folder)
    known = WhisperDescription.load(folder)
    positions = num_positions or known.num_positions
    chosen = config or BuildConfig(precision="float16")
    missing = [f"{part}.onnx" for part in PARTS if not (folder / f"{part}.onnx").is_file()]
    if missing:
        raise ModelError(f"{folder} lacks {', '.join(missing)}", hint="export_whisper(checkpoint, folder)")
    built = {}
    for part in PARTS:
        path = folder / f"{part}.onnx"
        inputs = model_inputs(load_model(path))
        if part == "decoder":
            profiles = decoder_profiles(
                inputs, num_rows=num_rows, num_positions=positions, max_look=encoder_batch
            )
        else:
            shapes = {}
            for spec in inputs:
                fixed = [size for size in spec.shape[1:] if isinstance(size, int)]
                # The aligner's texts are as long as they come.
                low = (1, *fixed) if len(fixed) == len(spec.shape) - 1 else (1, 1)
                likely = (encoder_batch, *low[1:]) if fixed else (encoder_batch, max(1, positions // 4))
                high = (encoder_batch, *low[1:]) if fixed else (encoder_batch, positions)
                shapes[spec.name] = ShapeRange(low, likely, high)
            profiles = (OptimizationProfile(shapes),)
        engine = build(path, profiles=profiles, config=chosen, flavor=flavor)
        engine.save(folder / f"{part}.engine")
        built[part] = engine
    return built
