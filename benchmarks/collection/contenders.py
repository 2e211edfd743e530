"""One contender over one number of windows, in a process of its own; prints a line of JSON."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.collection.inputs import Windows, layer_tensors, make_network

NUM_BINS, NUM_LEVELS = 2048, 128


class Stopwatch:
    """Wall-clock and processor time of a block, in seconds."""

    wall_s = cpu_s = 0.0

    def __enter__(self) -> Stopwatch:
        self._start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s = time.perf_counter() - self._start[0]
        self.cpu_s = time.process_time() - self._start[1]


def plain(network: str, num_windows: int) -> dict[str, float]:
    """Run inference alone, on the file, as ONNX Runtime does it by default."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.save(make_network(network), path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    windows = Windows(network, num_windows)
    session.run(None, dict(next(iter(windows)).arrays))
    with Stopwatch() as watch:
        for feed in windows:
            session.run(None, dict(feed.arrays))
    return {"run_s": watch.wall_s, "cpu_s": watch.cpu_s}


def trtforge(network: str, num_windows: int) -> dict[str, float]:
    """Observe what ONNX Runtime's calibrator does."""
    return _trtforge(network, num_windows, attention=True)


def trtforge_no_attention(network: str, num_windows: int) -> dict[str, float]:
    """Observe the same without what only products of two activations read and make."""
    return _trtforge(network, num_windows, attention=False)


def _trtforge(network: str, num_windows: int, *, attention: bool) -> dict[str, float]:
    from trtforge.calibration import Observer, choose, collect

    model, windows = make_network(network), Windows(network, num_windows)
    names = layer_tensors(model, attention=attention)
    # Compiling the counting loop takes seconds once in the life of an installation.
    for dtype in (np.float32, np.float64):
        Observer().observe(np.ones(1, dtype))
    with Stopwatch() as collecting:
        observations = collect(model, windows, names)
    with Stopwatch() as choosing:
        choose(observations, "entropy")
    return _times(collecting, choosing, len(names))


def _times(collecting: Stopwatch, choosing: Stopwatch, num_tensors: int) -> dict[str, float]:
    return {
        "run_s": collecting.wall_s,
        "cpu_s": collecting.cpu_s,
        "choose_s": choosing.wall_s,
        "num_tensors": num_tensors,
    }


def onnxruntime(network: str, num_windows: int) -> dict[str, float]:
    """Collect and choose with ONNX Runtime's entropy calibrator on 2048 bins, symmetric."""
    import onnx
    from onnxruntime.quantization.calibrate import CalibrationDataReader, CalibrationMethod, create_calibrator

    windows = Windows(network, num_windows)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, feeds: Iterator[Any]) -> None:
            self.feeds = feeds

        def get_next(self) -> dict[str, Any] | None:
            feed = next(self.feeds, None)
            return None if feed is None else dict(feed.arrays)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(make_network(network)), path)
        calibrator = create_calibrator(
            str(path),
            ["Conv", "ConvTranspose", "Gemm", "MatMul"],
            str(Path(folder) / "augmented.onnx"),
            CalibrationMethod.Entropy,
            extra_options={"symmetric": True, "num_bins": NUM_BINS, "num_quantized_bins": NUM_LEVELS},
        )
        with Stopwatch() as collecting:
            calibrator.collect_data(Reader(iter(windows)))
        with Stopwatch() as choosing:
            ranges = calibrator.compute_data()
    return _times(collecting, choosing, len(ranges.data))


def modelopt(network: str, num_windows: int) -> dict[str, float]:
    """Quantize with NVIDIA's ONNX quantizer, which calibrates on the way; its time is all in one."""
    import onnx

    quantization = importlib.import_module("modelopt.onnx.quantization")
    data = np.concatenate([feed.arrays["mel"] for feed in Windows(network, num_windows)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        onnx.save(make_network(network), path)
        with Stopwatch() as watch:
            quantization.quantize(
                str(path),
                quantize_mode="int8",
                calibration_data={"mel": data},
                calibration_method="entropy",
                calibration_eps=["cpu"],
                calibration_shapes=f"mel:{'x'.join(map(str, (1, *data.shape[1:])))}",
                output_path=str(Path(folder) / "quantized.onnx"),
            )
    return {"run_s": watch.wall_s, "cpu_s": watch.cpu_s}


CONTENDERS: dict[str, Callable[[str, int], dict[str, float]]] = {
    "plain": plain,
    "trtforge": trtforge,
    "trtforge_no_attention": trtforge_no_attention,
    "onnxruntime": onnxruntime,
    "modelopt": modelopt,
}


def peak_bytes() -> int:
    """Return the largest resident memory that this process has had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    contender, network, windows = sys.argv[1:]
    measured = CONTENDERS[contender](network, int(windows))
    print(json.dumps({**measured, "peak_bytes": peak_bytes()}))
