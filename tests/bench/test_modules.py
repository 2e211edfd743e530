"""The PyTorch modules of the speed benchmark compute what their ONNX files do."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.networks.whisper_encoder import EncoderShape, whisper_encoder
from tests.bench.made import small_network
from tests.bundled import MODEL, ROOT
from trtforge.bench import BenchConfig, Case, Subject, run_bench
from trtforge.bench.contenders import select_contenders

torch = pytest.importorskip("torch")

QUICK = BenchConfig(rounds=1, latency_s=0.02, burst_s=0.02, settle_s=0.05, num_threads=1)


def snr_db(path: Path, function: str, shape: tuple[int, ...]) -> float:
    import onnxruntime

    from benchmarks.speed import modules

    mel = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(str(path)).run(None, {"mel": mel})
    with torch.inference_mode():
        found = getattr(modules, function)(str(path))(torch.from_numpy(mel)).numpy()
    return float(10 * np.log10((expected**2).sum() / ((expected - found) ** 2).sum()))


def test_the_modules_compute_the_same_as_the_networks(tmp_path: Path) -> None:
    encoder = tmp_path / "encoder.onnx"
    onnx.save(whisper_encoder(EncoderShape(num_layers=2, width=32, num_heads=2)), encoder)
    assert snr_db(encoder, "whisper_encoder", (1, 80, 3000)) > 90
    assert snr_db(small_network(tmp_path), "convolution_stack", (2, 80, 50)) > 100
    assert snr_db(MODEL, "recogniser", (2, 80, 160)) > 90


def test_pytorch_takes_part_in_a_process_of_its_own(tmp_path: Path) -> None:
    subject = Subject(
        "small",
        small_network(tmp_path),
        (Case(2, 30),),
        constructor="benchmarks.speed.modules:convolution_stack",
        paths=(str(ROOT),),
    )
    result = run_bench([subject], select_contenders(["torch-eager-fp32"]), QUICK)
    (about,), (row,) = result["contenders"], result["rows"]
    assert about["versions"]["torch"] == torch.__version__
    assert about["accuracy"]["snr_db"]["hidden"] > 100
    assert row["rows_per_s"]["median"] > 0


def test_a_constructor_that_is_not_there_is_told(tmp_path: Path) -> None:
    subject = Subject("small", small_network(tmp_path), (Case(1, 30),), constructor="no.module:here")
    result = run_bench([subject], select_contenders(["torch-eager-fp32"]), QUICK)
    assert "No module named 'no'" in result["contenders"][0]["failed"]
    assert result["rows"] == []
