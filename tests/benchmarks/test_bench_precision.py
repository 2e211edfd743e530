import pytest

from benchmarks.bench_precision import PAGE, RESULT, SUBJECTS, fill, load, main
from benchmarks.pages import BEGIN, END
from benchmarks.precision.subjects import LARGE
from trtforge.nvidia import gpus

measured = pytest.mark.skipif(
    not RESULT.is_file(), reason="python -m benchmarks.bench_precision has not been run"
)


@measured
def test_the_page_and_the_result_agree():
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, load(RESULT)) == page


@measured
def test_what_is_kept_is_never_slower_than_it_may_be():
    for row in load(RESULT)["networks"]:
        kept = [time["speed_against_fp16"] for time in row["times"] if time["engine"] == "kept"]
        assert all(speed > 0.95 for speed in kept), row["network"]


def test_the_encoder_is_as_wide_as_whisper_large():
    assert (LARGE.num_layers, LARGE.width, LARGE.num_heads, LARGE.mel_bins) == (4, 1280, 20, 128)
    assert list(SUBJECTS) == ["recogniser", "convolutions", "whisper_encoder"]


def test_the_tables_say_what_the_result_says():
    trial = {
        "way": "Q/DQ",
        "float_blocks": [],
        "ratio": 0.55,
        "shapes": {"mel (16, 80, 512)": [0.54, 0.55, 0.56]},
    }
    time = {"batch": 16, "frames": 512, "engine": "kept", "median_ms": 1.2345, "p5_ms": 1.2, "p95_ms": 1.3}
    row = {
        "title": "the network",
        "story": {
            "chosen": "Q/DQ",
            "reason": "Q/DQ takes 55 % of the time of FP16",
            "tried": [{**trial, "error": None}, {**trial, "ratio": None, "way": "b", "error": "a | b"}],
        },
        "built": [
            {
                "engine": "FP16",
                "proof": {"delivered": 17, "fell_back": 2, "unknown": 0, "by_graph": 0},
                "fell_back": ["conv1", "conv2"],
                "build_seconds": 20.4,
            }
        ],
        "times": [{**time, "speed_against_fp16": 1.82}],
        "untimed": {"32 of 3000 frames": "no room"},
        "run": {
            "command": "c",
            "commit": None,
            "date": "d",
            "machine": {"gpus": ["H200"]},
            "versions": {"x": "1"},
        },
    }
    told = fill(f"{BEGIN}\n{END}", {"networks": [row]})
    assert "### The network: time by that of FP16" in told
    assert "| 16 | 512 | kept | 1.234 | 1.200 to 1.300 | 1.82 |" in told
    assert "time of FP16.\n\nBatch 32 of 3000 frames could not be timed: no room\n" in told
    assert "| FP16 | 17 | 2 | 0 | 20 | `conv1`, `conv2` |" in told
    assert "| Q/DQ | 0.550 | mel (16, 80, 512): 0.550 (0.540 to 0.560) |" in told
    assert "| b | not built | a / b |" in told
    assert "* `c` at commit `unknown` on d, on H200; x 1" in told


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(tmp_path, capsys, monkeypatch):
    subject = SUBJECTS["convolutions"]
    monkeypatch.setitem(SUBJECTS, "convolutions", lambda: None)
    assert main(["--network", "convolutions", "--output", str(tmp_path / "a.json")]) == 1
    assert "it needs a GPU and TensorRT" in capsys.readouterr().err
    assert callable(subject)
    assert main(["--redraw", "--output", str(tmp_path / "a.json")]) == 1
    assert "no result at" in capsys.readouterr().err
