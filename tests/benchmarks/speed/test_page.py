import pytest

from benchmarks.bench_speed import PAGE, PLOT, README, RESULT, main
from benchmarks.pages import BEGIN
from benchmarks.speed.page import fill_page, fill_readme
from benchmarks.speed.subjects import TITLES, make_subject
from tests.bench.made import make_result, make_row, small_network
from trtforge.bench import BenchConfig, Case, Subject, load_result, save_result
from trtforge.errors import ConfigError, ExecutionError
from trtforge.graph.opset import opset_of
from trtforge.model import load_model
from trtforge.nvidia.v8 import V8

MARKED = "before\n<!-- speed: begin -->\nold\n<!-- speed: end -->\nafter\n"


@pytest.mark.skipif(not RESULT.is_file(), reason="the speed benchmark was not run yet")
def test_the_pages_and_the_result_agree():
    result = load_result(RESULT)
    for path, fill in ((PAGE, fill_page), (README, fill_readme)):
        page = path.read_text(encoding="utf-8")
        assert fill(page, result) == page, "python -m benchmarks.bench_speed --redraw"
    assert PLOT.is_file()


def test_pages_without_a_result_say_so_and_can_be_filled():
    result = make_result(make_row(batch=8))
    for path, fill in ((PAGE, fill_page), (README, fill_readme)):
        page = path.read_text(encoding="utf-8")
        assert RESULT.is_file() or "Not measured on a GPU yet" in page
        assert "Not measured on a GPU yet" not in fill(page, result)


def test_tables_by_hand():
    result = make_result(make_row(batch=8), make_row("torch-compiled-fp16", batch=8, ms=4.0))
    page = fill_page(MARKED, result)
    for line in (
        "### net",
        "Two layers. 1,234 parameters; input: noise. Engines have one profile for each shape.",
        "**batch 8, 100 frames**",
        "| TensorRT FP16 | 2.000 | 2.200 | 2.400 | 1.0 % | 2.000 | 4,000 | 500 | 5.0 MiB | 3.0 MiB | 0.25 "
        "| 31.2 | 25.00 |",
        "| TensorRT FP16 | 12.0 | 1.0 GiB | 1.5 | 0.2 | 0.5 | 2.0 MiB |",
        "* `python -m x`",
        "SM clock 1900 to 1980 MHz, 40 to 41 °C",
    ):
        assert line in page, line
    assert "old" not in page
    readme = fill_readme(MARKED, result)
    assert "| net | PyTorch compiled FP16 | 4.000 | 2,000 | 5.0 MiB | 31.2 | 25.00 |" in readme
    assert "|  | TensorRT FP16 | 2.000 | 4,000 |" in readme
    assert "Batch 8; abacus 9000." in readme
    with pytest.raises(ConfigError, match="the page must hold <!-- speed: begin -->"):
        fill_page(BEGIN, result)


def test_parts_are_merged_and_a_trial_touches_nothing_published(tmp_path):
    save_result(make_result(make_row(batch=1)), tmp_path / "a.json")
    save_result(make_result(make_row(batch=8)), tmp_path / "b.json")
    output = tmp_path / "both.json"
    assert main(["--merge", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--output", str(output)]) == 0
    assert [row["batch"] for row in load_result(output)["rows"]] == [1, 8]
    assert (tmp_path / "both.svg").is_file()
    assert "<h2>net</h2>" in (tmp_path / "both.html").read_text()


def test_what_does_not_join_the_published_json_is_kept_beside_it(tmp_path, capsys, monkeypatch):
    output = tmp_path / "speed.json"
    save_result(make_result(make_row(batch=1), gpu="another"), output)
    measured = make_result(make_row(batch=8))

    def run_bench(*_, on_part, **__):
        on_part(measured)
        on_part(measured)
        return measured

    monkeypatch.setattr("benchmarks.bench_speed.run_bench", run_bench)
    monkeypatch.setattr("benchmarks.bench_speed.make_subject", lambda *_, **__: _subject(tmp_path))
    assert main(["--networks", "convolutions", "--work", str(tmp_path), "--output", str(output)]) == 0
    beside = tmp_path / "speed.2.json"
    assert f"this goes into {beside}" in capsys.readouterr().err
    assert [row["batch"] for row in load_result(beside)["rows"]] == [8]
    assert [row["batch"] for row in load_result(output)["rows"]] == [1]
    assert not (tmp_path / "speed.3.json").exists()
    words = ["--merge", str(output), str(beside), "--output", str(output)]
    assert main(words) == 1
    assert "unlike machines: GPUs" in capsys.readouterr().err
    assert main([*words, "--anyway"]) == 0
    assert [row["batch"] for row in load_result(output)["rows"]] == [1, 8]


def test_an_engine_that_cannot_be_built_does_not_stop_the_others(tmp_path, capsys, monkeypatch):
    asked = []

    def build_engine(subject, contender, *_, **__):
        asked.append(contender.name)
        if contender.number == "fp32":
            raise ExecutionError("tensorrt cannot build: no room")
        return {"build_s": 12.0, "way": None}

    monkeypatch.setattr("benchmarks.bench_speed.build_engine", build_engine)
    monkeypatch.setattr("benchmarks.bench_speed.make_subject", lambda *_, **__: _subject(tmp_path))
    words = ["--networks", "convolutions", "--build-only", "--contenders", "tensorrt-fp32", "tensorrt-fp16"]
    assert main([*words, "--work", str(tmp_path)]) == 1
    assert asked == ["tensorrt-fp32", "tensorrt-fp16"]
    out, err = capsys.readouterr()
    assert "built in 12 s" in out
    assert "small, TensorRT FP32: tensorrt cannot build: no room" in err


def test_a_subject_is_made_once_and_quantized(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.subjects._NUM_ROWS", 1)
    monkeypatch.setattr("benchmarks.speed.subjects.convolution_stack", lambda: _tiny())
    first = make_subject("convolutions", tmp_path, config=BenchConfig(), batches=(1, 2))
    before = first.quantized.stat().st_mtime_ns
    again = make_subject("convolutions", tmp_path, config=BenchConfig(), batches=(1, 2))
    assert again.quantized.stat().st_mtime_ns == before
    assert first.scales.is_file()
    # TensorRT 8.6 reads neither FP16 scales nor the opset that has them.
    quantized = load_model(first.quantized)
    assert opset_of(quantized) <= V8.max_onnx_opset
    assert {tensor.data_type for tensor in quantized.graph.initializer} <= {1, 3, 6}  # FP32, INT8, INT32
    assert [case.batch for case in first.cases] == [1, 2]
    assert first.input_rows(first.cases[0], first.specs()[0])["mel"].shape == (1, 80, 1504)
    assert first.name == TITLES["convolutions"]


def _subject(folder):
    return Subject("small", small_network(folder), tuple(Case(batch, 30) for batch in (1, 8, 16, 32)))


def _tiny():
    from benchmarks.native_calibrator.networks import convolution_stack

    return convolution_stack(2, 4, 3)
