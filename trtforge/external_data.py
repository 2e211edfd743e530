"""Write networks of any size: weights in a file of their own where one file cannot hold them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from trtforge._files import write_bytes

if TYPE_CHECKING:
    import onnx

# Protobuf serializes up to 2 GiB; what is not weights must fit as well.
MAX_BYTES = 1_900_000_000
# Weights below this stay in the file itself, as parsers look at the values of small constants.
_MIN_EXTERNAL_BYTES = 1024


def fits_one_file(model: onnx.ModelProto, *, max_bytes: int = MAX_BYTES) -> bool:
    """Say whether a network's weights leave room for the rest of it below protobuf's limit."""
    return sum(int(tensor.ByteSize()) for tensor in model.graph.initializer) <= max_bytes


def save_model(
    model: onnx.ModelProto, path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES
) -> tuple[Path, ...]:
    """Write a network; a large one with its weights in ``NAME.onnx.data`` beside it.

    Each file is written beside its place, flushed to disk and renamed, the weights first.

    Parameters
    ----------
    model : the network, its weights in memory; not changed.
    path : the ``.onnx`` file to write.
    max_bytes : size of the weights from which on they get a file of their own.

    Returns
    -------
    The files written. Of an earlier network under this name, a weights file that is no longer needed is
    removed.

    Raises
    ------
    OSError : a file cannot be written; what was there stands.

    References
    ----------
    ONNX, "External Data".
    """
    target = Path(path)
    weights = target.with_name(f"{target.name}.data")
    if fits_one_file(model, max_bytes=max_bytes):
        write_bytes(target, model.SerializeToString())
        weights.unlink(missing_ok=True)
        return (target,)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{weights.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            apart = _apart(model, file, weights.name)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(weights)
    finally:
        temporary.unlink(missing_ok=True)
    write_bytes(target, apart.SerializeToString())
    return target, weights


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


def _apart(model: onnx.ModelProto, file: BinaryIO, location: str) -> onnx.ModelProto:
    """Write the large weights to a file, and return the network that refers to it."""
    import onnx
    from onnx import numpy_helper

    apart = without_weights(model)
    for tensor in model.graph.initializer:
        if tensor.ByteSize() < _MIN_EXTERNAL_BYTES or tensor.data_type == onnx.TensorProto.STRING:
            apart.graph.initializer.append(tensor)
            continue
        raw = tensor.raw_data
        if not tensor.HasField("raw_data"):
            raw = numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
        entry = apart.graph.initializer.add()
        entry.name, entry.data_type = tensor.name, tensor.data_type
        entry.dims.extend(tensor.dims)
        entry.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", file.tell()), ("length", len(raw))):
            entry.external_data.add(key=key, value=str(value))
        file.write(raw)
    return apart
