"""Move the outlier channels of what products read into their weights (SmoothQuant)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import QuantizationError
from trtforge.graph.index import GraphIndex
from trtforge.graph.names import match_nodes
from trtforge.graph.rewrites.remove_unused import remove_unused
from trtforge.graph.rules import Layer, View, judge_layer
from trtforge.graph.weights import naming_weight, quantize_weight, require_finite
from trtforge.model import copy_model
from trtforge.scales import INT8_MAX

if TYPE_CHECKING:
    import onnx

ALPHAS = tuple(round(0.05 * step, 2) for step in range(21))
_NORMALISATIONS = ("LayerNormalization", "RMSNormalization")
_READ_NO_VALUES = ("Shape", "Size")
# Factors further from one another than this would take FP16 weights below their smallest number.
_WIDEST = 2.0**12
# What other rows of the same data may take back.
_LEAST_GAIN_DB = 1.0


@dataclass(frozen=True)
class SmoothingGroup:
    """A normalised tensor and the products that read it.

    Parameters
    ----------
    tensor : name of what the products read, [..., channels].
    constants : names of the gain and, where there is one, the shift that end the normalisation [channels].
    weights : names of the products' weights, each with the axis of its rows, one for each channel.
    """

    tensor: str
    constants: tuple[str, ...]
    weights: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class SmoothingChoice:
    """What the search found for one group.

    Parameters
    ----------
    alpha : how much of the outliers goes into the weights, 0 to 1; None where leaving all as it is was best.
    snr_before_db : of the quantized products on the sampled rows as they are, in dB.
    snr_after_db : the same with ``alpha``.
    factors : float32 [channels] that the tensor is divided by and the weights' rows multiplied with.
    """

    alpha: float | None
    snr_before_db: float
    snr_after_db: float
    factors: NDArray[np.float32]


def smoothing_groups(model: onnx.ModelProto, *, exclude: Sequence[str] = ()) -> tuple[SmoothingGroup, ...]:
    """Find normalised tensors that nothing but quantizable products with constant weights read.

    Matches the output of ``LayerNormalization`` or ``RMSNormalization`` with a constant gain, and of a
    multiplication by a gain, with or without the addition of a shift, both constant and of one axis, as
    exports spell it. The readers are ``MatMul`` and ``Gemm`` nodes that `trtforge.graph.rules` would
    quantize; beside them ``Shape`` and ``Size`` may read it.

    Refuses a tensor that is exposed, or that anything else reads, such as the residual addition of a
    transformer that normalises afterwards, or the third input of a ``Gemm``: it would need a multiplication
    of its own. Refuses gain and shift of another length than the weights' rows, and a weight that is read
    transposed by one of the products and as it is by another, or as the bias of one.

    Parameters
    ----------
    model : a prepared float32 network.
    exclude : products that stay in floating point; a tensor that one of them reads is left as it is.
    """
    view = View.of(model)
    excluded = match_nodes(view.index.nodes, exclude, asked="exclude")
    groups = []
    for node in view.index.nodes:
        constants = _affine(node, view)
        everyone = view.index.readers(node.output[0]) if node.output else []
        readers = [reader for reader in everyone if reader.op_type not in _READ_NO_VALUES]
        if not constants or not readers or view.index.is_exposed(node.output[0]):
            continue
        weights = []
        for reader in readers:
            layer = judge_layer(reader, view)
            is_product = reader.op_type in ("MatMul", "Gemm") and reader.output[0] not in excluded
            # What is divided as A, or multiplied as B, must not be read as C too.
            reads_twice = not {*reader.input[:2]}.isdisjoint(reader.input[2:])
            if not is_product or reads_twice or not isinstance(layer, Layer):
                continue
            if layer.activations == (node.output[0],) and layer.weight and layer.axis is not None:
                weights.append((layer.weight, 1 - layer.axis))
        sizes = {view.index.initializers[name].dims[axis] for name, axis in weights}
        if (
            len(weights) == len(readers)
            and len(dict(weights)) == len(set(weights))
            and sizes == set(view.index.initializers[constants[0]].dims)
        ):
            groups.append(SmoothingGroup(node.output[0], constants, tuple(weights)))
    return tuple(groups)


def choose_smoothing(
    rows: NDArray[np.float32],
    peaks: NDArray[np.float32],
    weights: Sequence[NDArray[np.float32]],
    *,
    alphas: Sequence[float] = ALPHAS,
) -> SmoothingChoice:
    """Choose how much of a tensor's outliers its readers' weights take over.

    Channel j is divided by ``peaks[j] ** alpha / weight_peaks[j] ** (1 - alpha)``, brought to a geometric
    mean of one. Each alpha is judged by the products of the sampled rows, rows and weights rounded to INT8,
    against the products in FP32; a gain below 1 dB changes nothing.

    Parameters
    ----------
    rows : float32 [num_rows, channels], a sample of the tensor.
    peaks : float32 [channels], largest magnitude of each channel; of other rows, so that a strength which
        fits these alone is not chosen.
    weights : float32 [channels, columns] each.
    alphas : what to try, 0 to 1.

    Raises
    ------
    QuantizationError : an alpha is outside 0 to 1, or there is none.

    References
    ----------
    G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
    Models", ICML 2023, arXiv:2211.10438, equations 3 and 4.
    """
    if not alphas or not all(0 <= alpha <= 1 for alpha in alphas):
        raise QuantizationError(
            f"alphas must be numbers from 0 to 1, at least one, got {list(alphas)}", settings=("alphas",)
        )
    joined = np.concatenate(list(weights), axis=1)
    exact = rows.astype(np.float64) @ joined
    energy = float(np.square(exact).sum())
    ones = np.ones(len(peaks), np.float32)

    def snr_db(factors: NDArray[np.float32]) -> float:
        scale = max(float((peaks / factors).max()), np.finfo(np.float32).tiny) / INT8_MAX
        levels = np.clip(np.rint(rows / factors / scale), -INT8_MAX, INT8_MAX)
        narrow = [quantize_weight(weight * factors[:, None], 1).dequantized() for weight in weights]
        made = (levels * scale) @ np.concatenate(narrow, axis=1)
        noise = float(np.square(made - exact).sum())
        return float(10 * np.log10(energy / noise)) if energy and noise else float("inf")

    before = snr_db(ones)
    best = SmoothingChoice(None, before, before, ones)
    needed = before + _LEAST_GAIN_DB
    weight_peaks = np.abs(joined).max(axis=1)
    for alpha in alphas:
        factors = _factors(peaks, weight_peaks, alpha)
        after = snr_db(factors)
        if after > max(best.snr_after_db, needed):
            best = SmoothingChoice(alpha, before, after, factors)
    return best


def smooth_graph(model: onnx.ModelProto, factors: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Divide normalised tensors by factors for each channel, and multiply their readers' weights by them.

    Parameters
    ----------
    model : a prepared float32 network, not changed.
    factors : name of a tensor of `smoothing_groups` to float32 [channels], positive.

    Returns
    -------
    smoothed : a network that gives the same numbers up to rounding; no node is added.

    Raises
    ------
    QuantizationError : a tensor is none of the groups', or its factors are not positive or of another length.
    """
    smoothed = copy_model(model)
    groups = {group.tensor: group for group in smoothing_groups(smoothed)}
    index = GraphIndex(smoothed.graph)
    for tensor, values in factors.items():
        if tensor not in groups:
            raise QuantizationError(
                f"{tensor!r} is no normalised tensor that products alone read",
                hint=f"these are: {', '.join(map(repr, groups)) or 'none'}",
            )
        group = groups[tensor]
        channels = index.initializers[group.constants[0]].dims[0]
        if values.shape != (channels,) or not (np.isfinite(values).all() and (values > 0).all()):
            raise QuantizationError(
                f"the factors of {tensor!r} must be {channels} positive numbers, got shape {values.shape}"
            )
        makers = _makers(tensor, index)
        for name in group.constants:
            _scale_constant(name, 1 / values.astype(np.float64), makers, index)
        for name, axis in dict.fromkeys(group.weights):
            along = values.astype(np.float64).reshape([-1 if at == axis else 1 for at in range(2)])
            _scale_constant(name, along, index.readers(tensor), index)
    remove_unused(smoothed)
    return smoothed


def weights_of(group: SmoothingGroup, model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    """Return the weights of a group, float32 [channels, columns] each.

    Raises
    ------
    QuantizationError : one holds a NaN or infinity.
    """
    index = GraphIndex(model.graph)
    found = []
    for name, axis in group.weights:
        value = np.asarray(index.constant(name), np.float32)
        with naming_weight(name):
            require_finite(value)
        found.append(value if axis == 0 else value.T)
    return found


def _affine(node: onnx.NodeProto, view: View) -> tuple[str, ...]:
    """Return the constants [channels] that a normalisation ends in; none where the node ends none."""
    if node.domain:
        return ()
    if node.op_type in _NORMALISATIONS:
        names = [name for name in node.input[1:3] if name]
    elif node.op_type == "Mul":
        names = _gain(node, view)
    elif node.op_type == "Add":
        names = _gain_and_shift(node, view)
    else:
        return ()
    sizes = {view.shape(name) for name in names}
    one_axis = len(sizes) == 1 and len(next(iter(sizes)) or ()) == 1
    return tuple(dict.fromkeys(names)) if names and one_axis and all(map(view.is_constant, names)) else ()


def _gain_and_shift(add: onnx.NodeProto, view: View) -> list[str]:
    for shift, scaled in (tuple(add.input), tuple(add.input)[::-1]):
        maker = view.index.producer(scaled)
        if maker is not None and maker.op_type == "Mul" and view.index.is_private(scaled):
            gain = _gain(maker, view)
            if gain and view.is_constant(shift):
                return [*gain, shift]
    return []


def _gain(mul: onnx.NodeProto, view: View) -> list[str]:
    constants = [name for name in mul.input if view.is_constant(name)]
    return constants if len(constants) == 1 else []


def _makers(tensor: str, index: GraphIndex) -> list[onnx.NodeProto]:
    """Return the nodes that apply gain and shift to a tensor."""
    node = index.nodes[index.producers[tensor]]
    before = [index.producer(name) for name in node.input] if node.op_type == "Add" else []
    return [node, *(maker for maker in before if maker is not None and maker.op_type == "Mul")]


def _factors(
    peaks: NDArray[np.float32], weight_peaks: NDArray[np.float32], alpha: float
) -> NDArray[np.float32]:
    """Balance the peaks of channels and weights; a channel that is all zeros on either side keeps one."""
    both = (peaks > 0) & (weight_peaks > 0)
    logarithm = np.zeros(len(peaks))
    logarithm[both] = alpha * np.log(peaks[both].astype(np.float64)) - (1 - alpha) * np.log(
        weight_peaks[both].astype(np.float64)
    )
    if both.any():
        logarithm[both] -= logarithm[both].mean()
    return np.exp(np.clip(logarithm, -np.log(_WIDEST), np.log(_WIDEST))).astype(np.float32)


def _scale_constant(
    name: str, factors: NDArray[np.float64], users: list[onnx.NodeProto], index: GraphIndex
) -> None:
    """Multiply a constant; where others than ``users`` read it too, ``users`` get a copy."""
    from onnx import numpy_helper

    tensor = index.initializers[name]
    value = numpy_helper.to_array(tensor)
    scaled = (value.astype(np.float64) * factors).astype(value.dtype)
    mine = {node.output[0] for node in users}
    if all(node.output[0] in mine for node in index.readers(name)) and not index.is_exposed(name):
        tensor.CopyFrom(numpy_helper.from_array(scaled, name))
        return
    copy = index.new_name(f"{name}_smoothed")
    index.graph.initializer.append(numpy_helper.from_array(scaled, copy))
    for node in users:
        for slot, read in enumerate(node.input):
            if read == name:
                node.input[slot] = copy
