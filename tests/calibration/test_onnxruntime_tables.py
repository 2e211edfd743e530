import json

import numpy as np
import pytest

from trtforge.calibration import FLOOR_AMAX
from trtforge.calibration.onnxruntime_tables import read_onnxruntime_table, write_onnxruntime_table
from trtforge.errors import CalibrationCacheError, ConfigError
from trtforge.scales import Scales, TensorScale

SHA = "a" * 64
AMAX = {"b c": 0.1, "x": 3.0}


@pytest.fixture
def tables(tmp_path):
    """The three files that ONNX Runtime itself writes."""
    calibrate = pytest.importorskip("onnxruntime.quantization.calibrate")
    utils = pytest.importorskip("onnxruntime.quantization.quant_utils")
    ranges = {"x": (-3.0, 1.0), "y": (0.0, 2.5), "zero": (0.0, 0.0)}
    data = calibrate.TensorsData(
        calibrate.CalibrationMethod.MinMax,
        {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()},
    )
    try:
        utils.write_calibration_table(data, str(tmp_path))
    except TypeError as error:
        pytest.skip(f"this ONNX Runtime cannot write its own table: {error}")
    return tmp_path


def amax_of(path):
    return {name: entry.amax for name, entry in read_onnxruntime_table(path, SHA).tensors.items()}


def test_json_has_magnitudes_where_the_others_have_the_upper_end(tables):
    assert amax_of(tables / "calibration.json") == {"x": 3.0, "y": 2.5, "zero": FLOOR_AMAX}
    assert amax_of(tables / "calibration.flatbuffers") == {"x": 1.0, "y": 2.5, "zero": FLOOR_AMAX}
    assert amax_of(tables / "calibration.cache") == {"x": 1.0, "y": 2.5, "zero": FLOOR_AMAX}
    scales = read_onnxruntime_table(tables / "calibration.json", SHA)
    assert scales["zero"].floored
    assert (scales.method, scales.num_clips, scales.model_sha256) == ("onnxruntime", 0, SHA)


@pytest.mark.parametrize("suffix", ["cache", "flatbuffers"])
def test_what_is_written_is_read_back(tmp_path, suffix):
    if suffix == "flatbuffers":
        pytest.importorskip("onnxruntime")
    tensors = {name: TensorScale(amax, amax) for name, amax in AMAX.items()}
    write_onnxruntime_table(Scales(tensors, "max", SHA, SHA, 1), tmp_path / f"table.{suffix}")
    assert amax_of(tmp_path / f"table.{suffix}") == AMAX
    if suffix == "cache":
        assert (tmp_path / "table.cache").read_text() == "b c 0.1\nx 3.0\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.cache", b"x 1.0\ny\n", "line 2: wanted 'tensor name range', got 'y'"),
        ("t.cache", b"x 1.0\nx 2.0\n", "tensor 'x' has an entry already"),
        ("t.cache", b"x nan\n", "the range of 'x' must be finite and not negative, got nan"),
        ("t.cache", b"x -1\n", "must be finite and not negative, got -1.0"),
        ("t.cache", b"\xff 1\n", "not UTF-8 text"),
        ("t.cache", b"", "holds no tensor"),
        ("t.json", b"[]", "not a table of ONNX Runtime: TypeError"),
        ("t.json", b"{", "not a table of ONNX Runtime: JSONDecodeError"),
        ("t.json", json.dumps({"data": {"x": {"lowest": 0, "highest": "a"}}}).encode(), "not a table"),
        (
            "t.json",
            json.dumps({"data": {"x": {"lowest": [1, 2], "highest": 1}}}).encode(),
            "wanted one number",
        ),
        ("t.json", b"[" * 100_000, "not a table of ONNX Runtime: RecursionError"),
    ],
)
def test_malformed_tables_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CalibrationCacheError, match=message):
        read_onnxruntime_table(tmp_path / name, SHA)


def test_hostile_flatbuffers_are_refused_and_end(tables, tmp_path):
    whole = (tables / "calibration.flatbuffers").read_bytes()
    path = tmp_path / "t.flatbuffers"
    refused = 0
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + b"\xff" + whole[at + 1 :]):
            path.write_bytes(damaged)
            try:
                read_onnxruntime_table(path, SHA)
            except CalibrationCacheError:
                refused += 1
    assert refused > len(whole) // 2


def test_files_of_other_kinds_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"ends in .cache, .flatbuffers, .json, got 't.txt'"):
        read_onnxruntime_table(tmp_path / "t.txt", SHA)
    with pytest.raises(CalibrationCacheError, match="no table can be read"):
        read_onnxruntime_table(tmp_path / "t.json", SHA)
    scales = Scales({"x\ny": TensorScale(1.0, 1.0)}, "max", SHA, SHA, 1)
    with pytest.raises(ConfigError, match=r"written to .flatbuffers or .cache, got 't.json'"):
        write_onnxruntime_table(scales, tmp_path / "t.json")
    with pytest.raises(ConfigError, match=r"'x\\ny' cannot be written in one line"):
        write_onnxruntime_table(scales, tmp_path / "t.cache")
