"""One contender quantizes one network, in a process of its own: network and data in a folder, result beside.

``python -m benchmarks.quality.contenders NAME METHOD FOLDER`` imports nothing but NumPy, ONNX and the
contender's own package.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Batches = list[dict[str, Any]]
NO_MODELOPT = "no network of modelopt's to take the layers of"
LAYERS = ["Conv", "ConvTranspose", "Gemm", "MatMul"]


def load_batches(path: Path) -> Batches:
    """Read what `benchmarks.quality.cases.save_batches` wrote."""
    batches: dict[int, dict[str, Any]] = {}
    with np.load(path) as stored:
        for key in stored.files:
            index, _, name = key.partition("/")
            batches.setdefault(int(index), {})[name] = stored[key]
    return [batches[index] for index in sorted(batches)]


def trtforge(network: Path, batches: Batches, method: str, output: Path) -> None:
    """Calibrate and quantize with this library, as it does by default."""
    _trtforge(network, batches, method, output, smooth=False)


def trtforge_smoothed(network: Path, batches: Batches, method: str, output: Path) -> None:
    """Smooth first."""
    _trtforge(network, batches, method, output, smooth=True)


def _trtforge(network: Path, batches: Batches, method: str, output: Path, *, smooth: bool) -> None:
    import onnx

    from trtforge import pipeline

    model = onnx.load(network)
    if smooth:
        model = pipeline.smooth(model, batches).model
    scales = pipeline.calibrate(model, batches, method=method)  # type: ignore[arg-type]
    onnx.save(pipeline.quantize(model, scales, rest="float32"), output)


def trtforge_matched(network: Path, batches: Batches, method: str, output: Path) -> None:
    """Quantize the layers that modelopt has quantized in the same folder, attention's products too."""
    import onnx

    from trtforge import pipeline
    from trtforge.graph import describe

    theirs = output.with_name(f"modelopt-{method}.onnx")
    if not theirs.is_file():
        sys.exit(NO_MODELOPT)
    model = onnx.load(network)
    constants = {tensor.name for tensor in model.graph.initializer}
    precisions = {layer.name: layer.precision for layer in describe(onnx.load(theirs)).layers}
    layers = [node for node in model.graph.node if node.op_type in LAYERS]
    products = [node.name for node in layers if node.input[1] not in constants]
    attention = "int8" if any(precisions[name] == "int8" for name in products) else "float"
    exclude = [node.name for node in layers if precisions[node.name] != "int8"]
    scales = pipeline.calibrate(
        model,
        batches,
        method=method,  # type: ignore[arg-type]
        exclude=exclude,
        attention=attention,  # type: ignore[arg-type]
    )
    quantized = pipeline.quantize(
        model,
        scales,
        rest="float32",
        exclude=exclude,
        attention=attention,  # type: ignore[arg-type]
    )
    onnx.save(quantized, output)


def onnxruntime(network: Path, batches: Batches, method: str, output: Path) -> None:
    """Quantize all that ``quantize_static`` quantizes by itself, symmetric and per channel."""
    _onnxruntime(network, batches, method, output, None)


def onnxruntime_layers(network: Path, batches: Batches, method: str, output: Path) -> None:
    """Quantize layers that multiply alone."""
    _onnxruntime(network, batches, method, output, LAYERS)


def _onnxruntime(
    network: Path, batches: Batches, method: str, output: Path, operators: list[str] | None
) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    methods = {"max": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy}
    quantize_static(
        str(network),
        str(output),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=operators,
        per_channel=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=methods[method],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )


def modelopt(network: Path, batches: Batches, method: str, output: Path) -> None:
    """Quantize with NVIDIA's ONNX quantizer, the rest left in FP32."""
    quantization = importlib.import_module("modelopt.onnx.quantization")
    data = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    shapes = ",".join(f"{name}:{'x'.join(map(str, (1, *value.shape[1:])))}" for name, value in data.items())
    quantization.quantize(
        str(network),
        quantize_mode="int8",
        calibration_data=data,
        calibration_method=method,
        calibration_eps=["cpu"],
        calibration_shapes=shapes,
        high_precision_dtype="fp32",
        output_path=str(output),
    )


CONTENDERS: dict[str, Callable[[Path, Batches, str, Path], None]] = {
    "trtforge": trtforge,
    "trtforge_smoothed": trtforge_smoothed,
    "onnxruntime": onnxruntime,
    "onnxruntime_layers": onnxruntime_layers,
    "modelopt": modelopt,
    # After modelopt, whose choice of layers it takes over.
    "trtforge_matched": trtforge_matched,
}

if __name__ == "__main__":
    contender, how, where = sys.argv[1:]
    folder = Path(where)
    CONTENDERS[contender](
        folder / "network.onnx",
        load_batches(folder / "calibration.npz"),
        how,
        folder / f"{contender}-{how}.onnx",
    )
