import json
from argparse import Namespace

import numpy as np

from benchmarks.bench_collection import (
    FORMAT,
    LONG_S,
    MODULE,
    PAGE,
    RESULT,
    compared,
    completed,
    main,
    measure,
    tables,
)
from benchmarks.collection.inputs import Windows, has_attention, layer_tensors, make_network
from benchmarks.networks.whisper_encoder import EncoderShape, whisper_encoder
from benchmarks.pages import load_result, to_text
from trtforge._ort import make_session


def test_encoder_runs_and_has_whispers_shape():
    model = whisper_encoder(EncoderShape(num_layers=1, width=32, num_heads=2))
    mel = np.random.default_rng(0).standard_normal((2, 80, 3000), np.float32)
    encoded = make_session(model, purpose="test").run(None, {"mel": mel})[0]
    assert encoded.shape == (2, 1500, 32)
    assert abs(encoded.mean()) < 1e-5
    assert abs(encoded.std() - 1) < 1e-2


def test_tensors_are_those_around_layers():
    model = whisper_encoder(EncoderShape(num_layers=2, width=32, num_heads=2))
    # mel, two convolutions' outputs and the second's input; per layer 8 products with 9 distinct inputs.
    assert len(layer_tensors(model, attention=True)) == 4 + 2 * 16
    without = layer_tensors(model, attention=False)
    assert len(without) == 4 + 2 * 10
    assert not {"layer.0.scores", "layer.0.shares", "layer.1.context"} & set(without)


def test_recogniser_windows_have_one_length():
    feeds = list(Windows("recogniser", 3))
    assert [feed.arrays["mel"].shape for feed in feeds] == [(1, 80, 3000)] * 3
    assert "mel" in layer_tensors(make_network("recogniser"), attention=False)


def test_rows_are_compared_with_plain_inference():
    rows = compared(
        [
            {"contender": "plain", "run_s": 2.0, "peak_bytes": 100},
            {"contender": "trtforge", "run_s": 2.5, "choose_s": 0.5, "peak_bytes": 150},
            {"contender": "modelopt", "skipped": "not here"},
        ]
    )
    assert [row.get("ratio") for row in rows] == [1.0, 1.25, None]
    assert rows[1]["ratio_with_choosing"] == 1.5
    assert rows[1]["bytes_above_plain"] == 50


def test_what_cannot_run_says_why():
    contenders = ["onnxruntime", "modelopt"]
    args = Namespace(modelopt_python=None, repeats=2, timeout_s=10, contenders=contenders)
    too_large, missing = measure("whisper_tiny_encoder", 10**6, args)
    assert too_large["skipped"] == "holds all windows at once: about 1500000 GB"
    assert missing["skipped"] == "no interpreter with modelopt was given (--modelopt-python)"


def test_gaps_have_a_reason_and_nothing_is_given_twice():
    head = {"network": "recogniser", "windows": 8}
    rows = [
        {**head, "contender": "trtforge", "run_s": 1.0, "num_tensors": 38},
        {**head, "contender": "trtforge_no_attention", "run_s": 1.1, "num_tensors": 38},
        {**head, "contender": "modelopt", "run_s": 9.0},
        {**head, "windows": 32, "contender": "trtforge", "run_s": 2.0, "num_tensors": 38},
    ]
    found = {(row["windows"], row["contender"]): row for row in completed(rows, "it was late")}
    assert len(found) == 6
    assert found[32, "modelopt"]["skipped"] == "it was late"
    assert found[8, "trtforge_no_attention"]["skipped"].startswith("the network has no attention products")
    assert found[8, "modelopt"]["run_s"] == 9.0
    assert completed(list(found.values())) == list(found.values())
    assert not has_attention("recogniser")


def test_the_page_says_who_was_left_out_and_which_ratio_is_meant():
    page = PAGE.read_text(encoding="utf-8")
    assert "* NVIDIA's modelopt, 32, 128, 512 windows: left out of the run, which took it to" in page
    assert "counting alone and with choosing: 7.5 and 18.3 times at 8 windows." in page
    rows = load_result(RESULT, kind=FORMAT, module=MODULE)["rows"]
    assert {
        row["num_tensors"] for row in rows if row["contender"] == "trtforge_no_attention" and "run_s" in row
    } == {44}
    assert len(rows) == 2 * 4 * 5


def test_contenders_take_turns_and_what_is_long_runs_once(monkeypatch):
    times = {"plain": iter([1.0, 3.0, 2.0]), "trtforge": iter([LONG_S + 1])}
    asked = []

    def run(contender, network, num_windows, args):
        asked.append(contender)
        return {"run_s": next(times[contender]), "peak_bytes": 1}

    monkeypatch.setattr("benchmarks.bench_collection.run_once", run)
    args = Namespace(repeats=3, contenders=["plain", "trtforge"])
    plain, ours = measure("recogniser", 8, args)
    assert asked == ["plain", "trtforge", "plain", "plain"]
    assert (plain["run_s"], plain["runs"], ours["runs"]) == (2.0, 3, 1)


def test_result_is_json_of_one_line_a_row(tmp_path):
    output = tmp_path / "result.json"
    arguments = ["--windows", "1", "--networks", "recogniser", "--contenders", "plain", "modelopt"]
    assert main([*arguments, "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    assert [row["contender"] for row in result["rows"]] == ["plain", "modelopt"]
    assert result["rows"][0]["ratio"] == 1.0
    assert result["format"] == "trtforge.bench.collection/2"
    assert to_text(result) == output.read_text()


def test_the_page_holds_the_tables_of_the_committed_result():
    assert tables(load_result(RESULT, kind=FORMAT, module=MODULE)) in PAGE.read_text(encoding="utf-8")


def test_calibration_keeps_what_is_promised_of_it():
    rows = load_result(RESULT, kind=FORMAT, module=MODULE)["rows"]
    found = {
        (row["windows"], row["contender"]): row
        for row in rows
        if row["network"] == "whisper_tiny_encoder" and "run_s" in row
    }
    assert found[32, "trtforge"]["ratio"] <= 1.6
    assert found[32, "trtforge_no_attention"]["ratio"] <= 1.25
    memory = [found[number, "trtforge"]["bytes_above_plain"] for number in (8, 32, 128, 512)]
    assert max(memory) < 400_000_000
    assert memory[-1] < 1.05 * memory[0]
    ours, theirs = (
        found[8, contender]["run_s"] + found[8, contender]["choose_s"]
        for contender in ("trtforge", "onnxruntime")
    )
    assert theirs > 10 * ours
