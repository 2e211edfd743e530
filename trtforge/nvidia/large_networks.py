"""Hand a network to the vendor's parser, whatever its size."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

# Protobuf serializes up to 2 GiB; what is not weights must fit as well.
_MAX_WEIGHT_BYTES = 1_900_000_000
# Weights below this stay in the file itself, as parsers look at the values of small constants.
_MIN_EXTERNAL_BYTES = 1024
_WEIGHTS = "weights.bin"


def parse_network(parser: Any, model: onnx.ModelProto) -> bool:
    """Let an ``OnnxParser`` read a network in memory; return whether it could.

    Parameters
    ----------
    parser : the vendor's.
    model : the network, not changed. Where it is too large to be serialized, it goes through files in a
        temporary folder, weights apart.
    """
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) <= _MAX_WEIGHT_BYTES:
        return bool(parser.parse(model.SerializeToString()))
    with tempfile.TemporaryDirectory(prefix="trtforge-") as folder:
        return bool(parser.parse_from_file(str(write_apart(model, Path(folder)))))


def write_apart(model: onnx.ModelProto, folder: Path) -> Path:
    """Write a network with its large weights in a file of their own; return the path of the network.

    Parameters
    ----------
    model : the network, not changed.
    folder : where to write ``network.onnx`` and ``weights.bin``.

    References
    ----------
    ONNX, "External Data".
    """
    import onnx

    apart = onnx.ModelProto()
    apart.ir_version = model.ir_version
    apart.opset_import.extend(model.opset_import)
    apart.functions.extend(model.functions)
    apart.metadata_props.extend(model.metadata_props)
    apart.graph.name = model.graph.name
    for part in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(apart.graph, part).extend(getattr(model.graph, part))
    with (folder / _WEIGHTS).open("wb") as file:
        for tensor in model.graph.initializer:
            num_bytes = len(tensor.raw_data)
            if num_bytes < _MIN_EXTERNAL_BYTES:
                apart.graph.initializer.append(tensor)
                continue
            entry = apart.graph.initializer.add()
            entry.name, entry.data_type = tensor.name, tensor.data_type
            entry.dims.extend(tensor.dims)
            entry.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", _WEIGHTS), ("offset", file.tell()), ("length", num_bytes)):
                entry.external_data.add(key=key, value=str(value))
            file.write(tensor.raw_data)
    path = folder / "network.onnx"
    path.write_bytes(apart.SerializeToString())
    return path
