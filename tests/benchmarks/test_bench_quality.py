import json
from argparse import Namespace

import numpy as np
import onnx
import pytest

from benchmarks.bench_quality import (
    FORMAT,
    MODULE,
    PAGE,
    RESULT,
    joined,
    main,
    outputs,
    quantize_apart,
    shortfalls,
    snr_db,
    tables,
)
from benchmarks.networks.shapes_for_quality import (
    small_bert,
    small_conformer,
    small_mobilenet,
    with_outlier_channels,
)
from benchmarks.networks.whisper_encoder import EncoderShape, whisper_encoder
from benchmarks.pages import load_result, to_text
from benchmarks.quality.cases import CASES, save_batches
from benchmarks.quality.contenders import NO_MODELOPT, load_batches
from tests.graph.networks import run
from trtforge.errors import ReportError
from trtforge.graph import plan_placement, prepare


@pytest.mark.parametrize(
    ("make", "name", "shape"),
    [
        (lambda: small_conformer(num_layers=1), "conformer", (1, 100, 144)),
        (small_mobilenet, "mobilenet", (1, 100)),
        (lambda: small_bert(num_layers=1), "bert", (1, 128, 256)),
    ],
)
def test_networks_run_and_neither_vanish_nor_explode(make, name, shape):
    (output,) = outputs(make(), CASES[name].test()[:1])
    assert output.shape == shape
    assert 0.1 < output.std() < 10


def test_mobilenets_residuals_and_depthwise_convolutions_are_quantized():
    plan = plan_placement(prepare(small_mobilenet()))
    assert sum(item.op_type == "Add" for item in plan.placements) == 3
    assert plan.left_alone == {}


def test_outlier_channels_change_no_number():
    shape = EncoderShape(num_layers=1, width=64, num_heads=2)
    model, spoilt = whisper_encoder(shape), whisper_encoder(shape)
    with_outlier_channels(spoilt)
    gains = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in spoilt.graph.initializer}
    assert sorted(np.unique(gains["layer.0.norm1.gain"]).round(3)) == [1, 30]
    mel = {"mel": np.random.default_rng(0).standard_normal((1, 80, 3000), np.float32)}
    assert snr_db([run(model, mel)["encoded"]], [run(spoilt, mel)["encoded"]]) > 90


def test_batches_come_back_in_order(tmp_path):
    batches = [{"x": np.full(2, index), "y": np.ones(index + 1)} for index in range(12)]
    save_batches(tmp_path / "data.npz", batches)
    read = load_batches(tmp_path / "data.npz")
    assert [int(batch["x"][0]) for batch in read] == list(range(12))
    assert read[3]["y"].shape == (4,)


def test_snr_by_hand():
    reference = [np.array([3.0, 4.0]), np.array([0.0])]
    assert snr_db(reference, [np.array([3.0, 4.5]), np.array([0.0])]) == pytest.approx(20.0)


def test_what_cannot_run_says_why(tmp_path):
    onnx.save(prepare(small_mobilenet()), tmp_path / "network.onnx")
    save_batches(tmp_path / "calibration.npz", CASES["mobilenet"].calibration()[:1])
    args = Namespace(modelopt_python=None, timeout_s=120.0)
    assert quantize_apart("modelopt", "max", tmp_path, args) == {
        "skipped": "no interpreter with modelopt was given (--modelopt-python)"
    }
    assert quantize_apart("trtforge_smoothed", "max", tmp_path, args) == {"skipped": "nothing to smooth"}
    assert quantize_apart("trtforge_matched", "max", tmp_path, args) == {"skipped": NO_MODELOPT}


def test_a_trial_compares_and_touches_nothing_published(tmp_path):
    output = tmp_path / "result.json"
    words = ["--networks", "mobilenet", "--methods", "max", "--contenders", "trtforge", "onnxruntime_layers"]
    assert main([*words, "--output", str(output)]) == 0
    result = json.loads(output.read_text())
    ours, theirs = result["rows"]
    assert (ours["int8_layers"], theirs["int8_layers"]) == (21, 21)
    assert ours["snr_db"] > theirs["snr_db"]
    assert to_text(result) == output.read_text()
    assert "| trtforge | max | 21 of 21 |" in tables(result)


def test_a_peer_above_ours_is_said():
    rows = [
        {"network": "bert", "contender": "trtforge", "method": "max", "snr_db": 30.0},
        {"network": "bert", "contender": "modelopt", "method": "max", "snr_db": 31.0},
    ]
    rows = [{**row, "int8_layers": 4, "layers": 8} for row in rows]
    assert shortfalls(rows) == [
        "An encoder of BERT's shape: NVIDIA's modelopt, max, 31.0 dB with 4 of 8 layers in INT8, "
        "trtforge 30.0 dB"
    ]
    assert shortfalls(rows[:1]) == []


def part(network, **run):
    made = {"command": f"measure {network}", "commit": "c", "versions": {"numpy": "2"}, "machine": {}}
    row = {"network": network, "contender": "trtforge", "method": "max", "skipped": "no time"}
    return {"format": FORMAT, "rows": [row], "run": made | run, "modelopt": {}}


def test_parts_are_joined_in_the_order_of_the_cases():
    whole = joined([part("bert"), part("whisper_tiny")])
    assert [row["network"] for row in whole["rows"]] == ["whisper_tiny", "bert"]
    assert whole["run"]["command"] == "measure bert; measure whisper_tiny"
    with pytest.raises(ReportError, match="a network is in two of the parts: bert, bert"):
        joined([part("bert"), part("bert")])
    assert joined([part("bert"), part("conformer", commit="d")])["run"]["commit"] == "c; d"
    with pytest.raises(ReportError, match="the parts were not made alike: other versions"):
        joined([part("bert"), part("whisper_tiny", versions={})])


def test_the_page_holds_the_tables_of_the_committed_result():
    assert tables(load_result(RESULT, kind=FORMAT, module=MODULE)) in PAGE.read_text(encoding="utf-8")


def test_the_best_of_trtforge_is_at_least_the_best_of_any_peer():
    rows = load_result(RESULT, kind=FORMAT, module=MODULE)["rows"]
    assert {row["network"] for row in rows} == set(CASES)
    assert shortfalls(rows) == []


def test_smoothing_gains_where_channels_stand_out():
    rows = load_result(RESULT, kind=FORMAT, module=MODULE)["rows"]
    found = {
        (row["contender"], row["method"]): row["snr_db"]
        for row in rows
        if row["network"] == "whisper_tiny_outliers" and "snr_db" in row
    }
    for method in ("max", "entropy"):
        assert found["trtforge_smoothed", method] > found["trtforge", method] + 3
