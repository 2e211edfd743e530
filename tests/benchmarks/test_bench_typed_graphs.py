import json

import numpy as np
import pytest

from benchmarks.bench_typed_graphs import PAGE, RESULT, fill, load, main
from benchmarks.pages import BEGIN, END
from benchmarks.typed_graphs.contenders import CONTENDERS
from benchmarks.typed_graphs.measure import HALF, NARROW, errors
from trtforge.graph import describe
from trtforge.runtime import OnnxRunner


@pytest.mark.skipif(not RESULT.is_file(), reason="python -m benchmarks.bench_typed_graphs has not been run")
def test_the_page_and_the_result_agree():
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, load(RESULT)) == page


@pytest.mark.skipif(not RESULT.is_file(), reason="python -m benchmarks.bench_typed_graphs has not been run")
def test_every_layer_is_typed_as_asked_and_every_network_built():
    rows = load(RESULT)["rows"]
    half = [row for row in rows if row["precision"] in HALF]
    assert [row["network"] for row in half[::2]] == list(CONTENDERS)
    for row in half:
        assert row["num_layers_as_asked"] == row["num_layers"] > 0, row["network"]
        assert row["built"] is None or row["built"]["plan_bytes"] > 0, row["network"]
        assert row["rounded"]["relative_error"] < (0.01 if row["precision"] == "float16" else 0.05)
    for row in rows:
        if row["precision"] in NARROW and "refused" not in row:
            assert row["num_layers_as_asked"] + len(row["layers_kept"]) == row["num_layers"], row["network"]
            assert row["built"] is None or row["built"]["plan_bytes"] > 0, row["network"]
    refused = {(row["network"], row["precision"]) for row in rows if "refused" in row}
    # They have convolutions alone, or one product beside them.
    assert {network for network, _ in refused} <= {"bundled recogniser", "MobileNetV2"}
    assert "int8" not in {precision for _, precision in refused}


# MobileNetV2 has 3 504 872 parameters for 1000 classes. Here count two statistics for each of its 17 056
# normalised channels, and two ends of its activations.
_MOBILENET = 3_504_872 + 2 * 17_056 + 2
# Embeddings, four layers of products with biases and two normalisations, one more, and eight scalars.
_BERT = 2560 * 256 + 4 * (12 * 256**2 + 9 * 256 + 4 * 256) + 2 * 256 + 8


@pytest.mark.parametrize(
    ("name", "num_parameters", "num_layers"),
    [("Conformer-S, 4 layers", None, 55), ("MobileNetV2", _MOBILENET, 53), ("BERT-mini", _BERT, 32)],
)
def test_the_random_networks_run(name, num_parameters, num_layers):
    contender = CONTENDERS[name]()
    summary = describe(contender.model)
    assert num_parameters in (None, summary.num_parameters)
    assert len(summary.layers) == num_layers
    with OnnxRunner(contender.model) as runner:
        (made,) = runner.run(dict(contender.judged[0])).values()
    assert np.isfinite(made).all()
    assert 0.01 < made.std() < 100


def test_energies_are_added_before_they_are_divided():
    expected = [{"y": np.array([3.0, 0.0])}, {"y": np.array([4.0])}]
    got = [{"y": np.array([3.0, 0.3])}, {"y": np.array([4.4])}]
    assert errors(expected, got) == pytest.approx({"snr_db": 20.0, "relative_error": 0.1})


def test_a_trial_writes_json_and_tables(tmp_path):
    page, output = tmp_path / "page.md", tmp_path / "a.json"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    words = ["--output", str(output), "--page", str(page)]
    assert main([*words, "--network", "BERT-mini"]) == 0
    text = page.read_text()
    assert "old" not in text
    rows = json.loads(output.read_text())["rows"]
    assert [row["precision"] for row in rows] == [*HALF, *NARROW]
    assert [row["num_layers_as_asked"] for row in rows] == [32, 32, 24, 24, 24, 24]
    assert {len(row["layers_kept"]) for row in rows[2:]} == {8}
    assert 0.01 < rows[2]["onnxruntime"]["relative_error"] < rows[3]["onnxruntime"]["relative_error"] < 0.1
    attention = "8: it multiplies two activations"
    assert f"| BERT-mini | INT4 weights | {attention} |" in text
    # What the mask is added to is kept by the graph.
    assert rows[0]["kept_by_data"] == []
    assert rows[1]["onnxruntime"] is None
    assert "| BERT-mini | BF16 |" in text
    assert main([*words, "--redraw"]) == 0
    assert page.read_text() == text


def test_a_library_that_refuses_is_shown():
    row = {
        "network": "n", "precision": "float16", "opset": [17, 19], "num_layers": 2, "num_layers_as_asked": 1,
        "num_nodes": 9, "num_nodes_kept": 3, "kept_by_data": ["a"], "onnxruntime": None,
        "rounded": {"snr_db": 40.0, "relative_error": 0.01}, "built": {"error": "it cannot"},
    }  # fmt: skip
    run = {
        "command": "c",
        "commit": None,
        "date": "d",
        "machine": {"processor": "p", "num_cpus": 2},
        "versions": {},
    }
    told = fill(f"{BEGIN}\n{END}", {"rows": [row], "run": run})
    assert "| n | FP16 | 40.0 | 1.000 % | no kernels |  |" in told
    assert "| n | FP16 | 17 to 19 | 1 of 2 | 3 of 9 | 1 |" in told
    assert "| n | FP16 | not built: it cannot |  |  |" in told
    narrow = {**row, "precision": "int8", "layers_kept": {"a": "no", "b": "no", "c": "never"}}
    narrow |= {"onnxruntime": row["rounded"], "rounded": None}
    none = {"network": "n", "precision": "float8", "refused": "the network has no layer: c: it is none"}
    told = fill(f"{BEGIN}\n{END}", {"rows": [row, narrow, none], "run": run})
    assert "| n | INT8 | 2: no; 1: never | not built: it cannot | 1 of 2 | 40.0 | 1.000 % |" in told
    assert "| n | FP8 | not made: the network has no layer |  |  |  |  |" in told
    assert "### Engines" not in fill(f"{BEGIN}\n{END}", {"rows": [{**row, "built": None}], "run": run})
