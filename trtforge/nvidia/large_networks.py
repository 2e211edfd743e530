"""Hand a network to the vendor's parser, whatever its size."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtforge.external_data import fits_one_file, save_model

if TYPE_CHECKING:
    import onnx


def parse_network(parser: Any, model: onnx.ModelProto) -> bool:
    """Let an ``OnnxParser`` read a network in memory; return whether it could.

    Parameters
    ----------
    parser : the vendor's.
    model : the network, not changed. Where it is too large to be serialized, it goes through files in a
        temporary folder, weights apart.
    """
    if fits_one_file(model):
        return bool(parser.parse(model.SerializeToString()))
    with tempfile.TemporaryDirectory(prefix="trtforge-") as folder:
        path = Path(folder) / "network.onnx"
        save_model(model, path)
        return bool(parser.parse_from_file(str(path)))
