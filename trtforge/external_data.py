"""Write networks of any size: weights in a file of their own where one file cannot hold them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from trtforge._files import write_together

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 1_900_000_000
"""Weights in one file with their network: protobuf serializes up to 2 GiB, and the rest must fit as well."""

# Weights below this stay in the network's file, as parsers look at the values of small constants.
_MIN_EXTERNAL_BYTES = 1024


def fits_one_file(model: onnx.ModelProto) -> bool:
    """Say whether a network, its weights in memory, can be serialized as a whole."""
    return sum(map(tensor_bytes, model.graph.initializer)) <= MAX_BYTES


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Return the size of a constant's values from its type and dimensions; protobuf would serialize it."""
    import onnx

    if tensor.data_type == onnx.TensorProto.STRING:
        return int(tensor.ByteSize())
    itemsize = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(itemsize * math.prod(tensor.dims))


def save_model(model: onnx.ModelProto, path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write a network; one above 1.9 GB with its weights in ``NAME.onnx.data`` beside it.

    Both are written in full before the first takes its place. Where a network is replaced whose weights were
    beside it under this name, and they are no longer needed, they are removed.

    Parameters
    ----------
    model : the network, its weights in memory; not changed.
    path : the ``.onnx`` file to write.

    Returns
    -------
    The files written.

    Raises
    ------
    OSError : a file cannot be written; what was there stands.
    """
    files = network_files(model, path)
    weights = _weights_beside(Path(path))
    is_left_over = weights not in files and weights.is_file() and _refers_to(Path(path), weights.name)
    write_together(files)
    if is_left_over:
        weights.unlink(missing_ok=True)
    return tuple(files)


def network_files(model: onnx.ModelProto, path: str | os.PathLike[str]) -> dict[Path, bytes]:
    """Return what `save_model` writes: path to content, the weights first.

    References
    ----------
    ONNX, "External Data".
    """
    target = Path(path)
    if fits_one_file(model):
        return {target: model.SerializeToString()}
    weights = _weights_beside(target)
    apart, pieces = _apart(model, weights.name)
    return {weights: b"".join(pieces), target: apart.SerializeToString()}


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network's copy without its constants at the top level."""
    import onnx

    rest = onnx.ModelProto()
    rest.ir_version = model.ir_version
    rest.producer_name, rest.producer_version = model.producer_name, model.producer_version
    rest.opset_import.extend(model.opset_import)
    rest.functions.extend(model.functions)
    rest.metadata_props.extend(model.metadata_props)
    rest.graph.name = model.graph.name
    for part in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(rest.graph, part).extend(getattr(model.graph, part))
    return rest


def _weights_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")


def _refers_to(path: Path, location: str) -> bool:
    """Say whether a file is a network with weights at a location; another network may have them there."""
    import onnx

    try:
        network = onnx.load(str(path), load_external_data=False)
    except Exception:  # none is there, or it is something else: protobuf raises several unrelated kinds
        return False
    return any(
        entry.key == "location" and entry.value == location
        for tensor in network.graph.initializer
        for entry in tensor.external_data
    )


def _apart(model: onnx.ModelProto, location: str) -> tuple[onnx.ModelProto, list[bytes]]:
    """Return the network that refers to its large weights at a location, and these, one after another."""
    import onnx
    from onnx import numpy_helper

    apart = without_weights(model)
    pieces: list[bytes] = []
    offset = 0
    for tensor in model.graph.initializer:
        if tensor_bytes(tensor) < _MIN_EXTERNAL_BYTES or tensor.data_type == onnx.TensorProto.STRING:
            apart.graph.initializer.append(tensor)
            continue
        raw = tensor.raw_data
        if not tensor.HasField("raw_data"):
            raw = numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
        entry = apart.graph.initializer.add()
        entry.name, entry.data_type = tensor.name, tensor.data_type
        entry.dims.extend(tensor.dims)
        entry.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", offset), ("length", len(raw))):
            entry.external_data.add(key=key, value=str(value))
        pieces.append(raw)
        offset += len(raw)
    return apart, pieces
