"""Carry scales into TensorRT's calibration cache and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from trtforge._files import sha256
from trtforge.calibration.cache import CalibrationCache
from trtforge.calibration.choose import FLOOR_AMAX
from trtforge.errors import CalibrationCacheError
from trtforge.model import ModelSource, load_model
from trtforge.scales import INT8_MAX, Scales, TensorScale


def cache_from_scales(
    scales: Scales, header: str, *, names: Mapping[str, str] | None = None
) -> CalibrationCache:
    """Write scales under TensorRT's tensor names.

    Parameters
    ----------
    scales : ranges by the network's own tensor names.
    header : as `trtforge.calibration.cache_header` gives it.
    names : TensorRT's name of each tensor to the network's name of the tensor with the same values, from
        `trtforge.calibration.parser_names`, or read from a parsed network. By default, the names in
        ``scales`` alone, which leaves out what the parser adds around 1-D convolutions.

    Raises
    ------
    CalibrationCacheError : no tensor of ``names`` has a scale.

    Warns
    -----
    RuntimeWarning : some tensors of ``names`` have no scale, so that TensorRT leaves layers in FP16.
    """
    pairs = {name: name for name in scales} if names is None else names
    entries = {name: scales[own].scale for name, own in pairs.items() if own in scales}
    if not entries:
        raise CalibrationCacheError(
            f"none of the network's {len(pairs)} tensors has one of the {len(scales)} scales",
            hint="calibrate the network that is being built",
        )
    if bare := [name for name in pairs if name not in entries]:
        warnings.warn(
            f"{len(bare)} of {len(pairs)} tensors have no scale, the first is {bare[0]!r}; TensorRT leaves a "
            "layer in FP16 whose input or output has none. Calibrate with 'trtforge calibrate --cache', or "
            "on trtforge.observe(..., tensors='cache')",
            RuntimeWarning,
            stacklevel=2,
        )
    return CalibrationCache(header, entries)


def scales_from_cache(
    cache: CalibrationCache, model_sha256: str, *, names: Mapping[str, str] | None = None
) -> Scales:
    """Read a calibration cache as scales.

    What a cache does not hold is stated as such: the largest magnitude seen is taken to be ``amax``, the
    digest of the feeds is that of the cache, and the number of clips is 0.

    Parameters
    ----------
    cache : the cache.
    model_sha256 : digest of the network it belongs to (`trtforge.model.model_digest`).
    names : TensorRT's names to the network's, as for `cache_from_scales`; entries that are not in it are left
        out, and a warning counts them. By default every entry is kept under its own name.

    Returns
    -------
    Scales whose cache has the same entries, bit for bit, zeros apart: those become the floor.

    Raises
    ------
    CalibrationCacheError : not one entry is in ``names``.
    """
    own_cache = cache if names is None else cache.matched(names)
    tensors: dict[str, TensorScale] = {}
    # An entry under the network's own name outweighs one that the parser made of the same values.
    for name, scale in sorted(
        own_cache.scales.items(), key=lambda item: names is not None and names.get(item[0]) != item[0]
    ):
        own = name if names is None else names.get(name)
        if own is not None and own not in tensors:
            tensors[own] = _tensor_scale(scale)
    return Scales(
        tensors=tensors,
        method={"entropy": "entropy", "minmax": "max"}[cache.algorithm],
        model_sha256=model_sha256,
        feeds_sha256=sha256(cache.dumps()),
        num_clips=0,
    )


def cache_tensors(model: ModelSource) -> tuple[str, ...]:
    """Name the tensors that a complete cache covers, for `trtforge.calibration.collect`.

    Quantizing with Q/DQ nodes needs the inputs of some layers. With a cache TensorRT decides by itself, and
    leaves a layer out of INT8 whose input or output has no scale, so that every activation is wanted.

    Parameters
    ----------
    model : a float32 network without subgraphs, its constants folded, or its path.

    Returns
    -------
    Inputs and results of nodes that are float32, in graph order.

    Raises
    ------
    ModelError : the file is no network.
    """
    import onnx

    inferred = onnx.shape_inference.infer_shapes(load_model(model)).graph
    constants = {tensor.name for tensor in inferred.initializer}
    for node in inferred.node:
        if all(name in constants for name in node.input if name):
            constants.update(node.output)
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    names = [value.name for value in inferred.input]
    names += [name for node in inferred.node for name in node.output if name]
    return tuple(
        name for name in names if name not in constants and kinds.get(name) == onnx.TensorProto.FLOAT
    )


def _tensor_scale(scale: float) -> TensorScale:
    amax = scale * INT8_MAX
    if amax == 0:
        return TensorScale(amax=FLOOR_AMAX, observed_max=0.0, floored=True)
    return TensorScale(amax=amax, observed_max=amax)
