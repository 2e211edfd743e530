"""Rows of a file, cut to what a case asks."""

import json

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

pytest.importorskip("onnxruntime")

from trtforge.bench import Case
from trtforge.bench.input_file import rows_from_file
from trtforge.cli import main
from trtforge.errors import ConfigError
from trtforge.model import TensorSpec

INPUTS = (TensorSpec("tokens", "int64", ("batch", "time")), TensorSpec("scale", "float32", ("batch", 1)))
TOKENS = np.arange(36).reshape(3, 12)
SCALE = np.ones((3, 1), np.float32)


def saved(folder, **arrays):
    np.savez(folder / "rows.npz", **arrays)
    return folder / "rows.npz"


def test_axes_are_cut_to_the_case(tmp_path):
    rows = rows_from_file(saved(tmp_path, tokens=TOKENS, scale=SCALE), INPUTS)
    found = rows(Case(8, 5))
    np.testing.assert_array_equal(found["tokens"], TOKENS[:, :5])
    assert found["tokens"].dtype == np.int64
    assert found["scale"].shape == (3, 1)
    with pytest.raises(ConfigError, match=r"has 'tokens' of shape \[3, 12\], and .* takes rows of \[13\]"):
        rows(Case(8, 13))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"tokens": TOKENS},
            r"has 'tokens' of int64, and the network's inputs are 'tokens' of int64, 'scale' of",
        ),
        ({"tokens": TOKENS.astype(np.int32), "scale": SCALE}, "has 'tokens' of int32"),
        ({"tokens": TOKENS, "scale": SCALE, "more": SCALE}, "'more' of float32, and"),
        ({}, "has no array, and"),
        (
            {"tokens": np.array([None]), "scale": SCALE},
            r"is no .*npz file of arrays: Object arrays cannot be",
        ),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, message):
    with pytest.raises(ConfigError, match=message):
        rows_from_file(saved(tmp_path, **arrays), INPUTS)


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "rows.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is no .*npz file of arrays"):
        rows_from_file(path, INPUTS)


def test_a_network_of_symbols_is_measured(tmp_path, capsys):
    network = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (int64[batch, time] tokens) => (float[batch, time, 4] y) { y = Gather (table, tokens) }
    """)
    table = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    network.graph.initializer.append(numpy_helper.from_array(table, "table"))
    onnx.save(network, tmp_path / "net.onnx")
    words = ["--frames", "5", "--batch", "2", "--rounds", "2", "--burst-s", "0.05", "--latency-s", "0.05"]
    words += ["--contenders", "onnxruntime-fp32", "-o", str(tmp_path / "bench.json")]
    assert main(["bench", str(tmp_path / "net.onnx"), *words]) == 2
    assert "noise is no input for it" in " ".join(capsys.readouterr().err.split())
    given = ["--inputs", str(saved(tmp_path, tokens=TOKENS))]
    assert main(["bench", str(tmp_path / "net.onnx"), *words, *given]) == 0
    result = json.loads((tmp_path / "bench.json").read_text())
    assert result["networks"][0]["inputs"] == "rows of rows.npz"
    assert [row["frames"] for row in result["rows"]] == [5]
    two = [str(tmp_path / "net.onnx")] * 2
    assert main(["bench", *two, *words, *given]) == 2
    assert "--inputs is for one network" in " ".join(capsys.readouterr().err.split())
