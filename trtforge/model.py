"""Read ONNX networks without trusting them, and say what they take and give."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from trtforge.errors import ModelError
from trtforge.external_data import fits_one_file, without_weights

if TYPE_CHECKING:
    import onnx

ModelSource: TypeAlias = "str | os.PathLike[str] | onnx.ModelProto"

# What a network says of its own use, under these keys of the ONNX metadata.
FEATURES_KEY = "trtforge.features"
DECODER_KEY = "trtforge.decoder"

_MAX_ELEMENTS = 1 << 40

# As raw data packs them, by the names that ONNX gives its data types. onnx's own numpy dtypes will not do:
# older releases map bfloat16 and the 8-bit floats to float32. Text has no raw data.
_BITS_PER_ELEMENT = {
    "FLOAT": 32,
    "UINT8": 8,
    "INT8": 8,
    "UINT16": 16,
    "INT16": 16,
    "INT32": 32,
    "INT64": 64,
    "BOOL": 8,
    "FLOAT16": 16,
    "DOUBLE": 64,
    "UINT32": 32,
    "UINT64": 64,
    "COMPLEX64": 64,
    "COMPLEX128": 128,
    "BFLOAT16": 16,
    "FLOAT8E4M3FN": 8,
    "FLOAT8E4M3FNUZ": 8,
    "FLOAT8E5M2": 8,
    "FLOAT8E5M2FNUZ": 8,
    "FLOAT8E8M0": 8,
    "FLOAT6E2M3": 6,
    "FLOAT6E3M2": 6,
    "FLOAT4E2M1": 4,
    "UINT4": 4,
    "INT4": 4,
    "UINT2": 2,
    "INT2": 2,
}


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of a network's input or output; an axis is an int, or a name where dynamic."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} [{', '.join(map(str, self.shape))}]"


def load_model(source: ModelSource) -> onnx.ModelProto:
    """Read an ONNX network and check that it is safe and sound.

    Parameters
    ----------
    source : path of an ``.onnx`` file (external data beside it is read too), or a model in memory, which
        is returned unchanged.

    Raises
    ------
    ModelError : the source is neither, the file is missing or not ONNX, names external data outside its
        folder, or declares tensors whose size does not match their bytes.
    """
    import onnx

    if isinstance(source, onnx.ModelProto):
        return source
    if not isinstance(source, str | os.PathLike):
        raise ModelError(
            f"a network is the path of an .onnx file or an onnx.ModelProto, got {type(source).__name__}",
            hint="give the path of an .onnx file",
        )
    path = Path(source)
    if not path.is_file():
        raise ModelError(f"no ONNX file at {path}")
    _refuse_other_formats(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf raises several unrelated kinds
        raise ModelError(f"{path} is not an ONNX file: {error}") from error
    if not model.HasField("graph") or not model.graph.node or not model.opset_import:
        raise ModelError(f"{path} is not an ONNX file: it holds no graph")
    for tensor in _all_tensors(model.graph):
        _check_tensor(tensor, path.parent)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model if fits_one_file(model) else _with_weights_as_inputs(model))
    except Exception as error:
        raise ModelError(f"{path} is not a valid ONNX network: {error}") from error
    for tensor in _all_tensors(model.graph):
        # What was read from beside the file is marked as read, which would make another digest of it.
        tensor.ClearField("data_location")
    return model


def model_digest(model: onnx.ModelProto) -> str:
    """Return the SHA-256 of a network's structure and weights, in hexadecimal."""
    try:
        return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    except Exception:  # more than the 2 GiB that protobuf serializes; its releases raise several kinds
        return _digest_in_pieces(model)


def copy_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network that can be changed while the one given stays."""
    import onnx

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def inference_opsets(model: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    """Return the operator sets by which a network's shapes are best inferred, its own but for 13.

    ONNX follows a ``Reshape`` to sizes that ``Shape`` read from opset 14 on, which takes what 13 takes.
    """
    import onnx

    return [
        onnx.helper.make_opsetid(entry.domain, 14)
        if entry.domain in ("", "ai.onnx") and entry.version == 13
        else entry
        for entry in model.opset_import
    ]


def nested_graphs(node: onnx.NodeProto) -> Iterator[tuple[str, onnx.GraphProto]]:
    """Yield the graphs directly inside a node, such as the branches of ``If``, each with its attribute."""
    for item in node.attribute:
        if item.HasField("g"):
            yield item.name, item.g
        for graph in item.graphs:
            yield item.name, graph


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and those inside its nodes, at any depth."""
    yield graph
    for node in graph.node:
        for _, inside in nested_graphs(node):
            yield from all_graphs(inside)


def model_inputs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Return the network's inputs, constants left out."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value) for value in model.graph.input if value.name not in constants)


def model_outputs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Return the network's outputs."""
    return tuple(_spec(value) for value in model.graph.output)


def model_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """Return the key-value pairs stored in the network."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _digest_in_pieces(model: onnx.ModelProto) -> str:
    rest = without_weights(model)
    # Inferred types say nothing of a network that it does not say itself.
    del rest.graph.value_info[:]
    digest = hashlib.sha256(rest.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        digest.update(tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _with_weights_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network small enough for the checker, to which its weights are inputs."""
    import onnx

    rest = without_weights(model)
    rest.ir_version = max(rest.ir_version, 4)
    listed = {value.name for value in rest.graph.input}
    rest.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.name not in listed
    )
    return rest


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    import onnx

    kind = value.type.tensor_type
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)) if kind.elem_type else "unknown"
    # Some exporters write -1 where an axis is dynamic, and TensorRT reads it so.
    shape = tuple(
        int(axis.dim_value) if axis.HasField("dim_value") and axis.dim_value >= 0 else axis.dim_param or "?"
        for axis in kind.shape.dim
    )
    return TensorSpec(value.name, dtype, shape)


def _refuse_other_formats(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise ModelError(
            f"{path} is not an ONNX file but a zip or pickle archive, which may run code when read",
            hint="export the PyTorch module with torch.onnx.export and pass the .onnx file",
        )
    if not head:
        raise ModelError(f"{path} is not an ONNX file: it is empty")


def _all_tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    tensors: list[onnx.TensorProto] = []
    for found in all_graphs(graph):
        tensors.extend(found.initializer)
        for attribute in (item for node in found.node for item in node.attribute):
            tensors.extend([attribute.t] if attribute.HasField("t") else [])
            tensors.extend(attribute.tensors)
    return tensors


def _check_tensor(tensor: onnx.TensorProto, folder: Path) -> None:
    import onnx

    if any(dim < 0 for dim in tensor.dims) or math.prod(tensor.dims) > _MAX_ELEMENTS:
        raise ModelError(f"tensor {tensor.name!r} declares impossible dimensions {list(tensor.dims)}")
    if tensor.data_type not in onnx.TensorProto.DataType.values() or tensor.data_type == 0:
        raise ModelError(f"tensor {tensor.name!r} has unknown data type {tensor.data_type}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external(tensor, folder)
    elif tensor.HasField("raw_data"):
        _check_size(tensor, len(tensor.raw_data))


def _check_size(tensor: onnx.TensorProto, num_bytes: int) -> None:
    import onnx

    dtype = onnx.TensorProto.DataType.Name(tensor.data_type)
    if dtype not in _BITS_PER_ELEMENT:
        raise ModelError(f"tensor {tensor.name!r} of type {dtype} holds raw data, whose size is not defined")
    expected = (math.prod(tensor.dims) * _BITS_PER_ELEMENT[dtype] + 7) // 8
    if num_bytes != expected:
        raise ModelError(
            f"tensor {tensor.name!r} of dimensions {list(tensor.dims)} needs {expected} bytes, "
            f"has {num_bytes}"
        )


def _check_external(tensor: onnx.TensorProto, folder: Path) -> None:
    fields = {entry.key: entry.value for entry in tensor.external_data}
    location = fields.get("location", "")
    target = folder / location
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise ModelError(
            f"tensor {tensor.name!r} names external data outside the model's folder: {location!r}"
        )
    if target.is_symlink() or not target.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"tensor {tensor.name!r} names external data through a link: {location!r}")
    if not target.is_file():
        raise ModelError(f"external data {location!r} of tensor {tensor.name!r} is missing beside the model")
    try:
        offset, size = int(fields.get("offset", 0)), target.stat().st_size
        length = int(fields.get("length", size - offset))
    except ValueError:
        raise ModelError(f"tensor {tensor.name!r} has a malformed external data entry {fields}") from None
    if offset < 0 or length < 0 or offset + length > size:
        raise ModelError(
            f"tensor {tensor.name!r} wants bytes {offset} to {offset + length} of {location!r}, "
            f"which has {size}"
        )
    _check_size(tensor, length)
