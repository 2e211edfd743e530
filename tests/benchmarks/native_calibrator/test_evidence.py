from dataclasses import replace

import pytest
from onnx import parser

from benchmarks.native_calibrator.evidence import Evidence, sharing_tensors
from tests.benchmarks.native_calibrator.cases import binned, evidence, laplace
from trtforge.calibration import CalibrationCache
from trtforge.errors import ReportError

A, B = laplace(1.0, 0, 100), laplace(1.0, 1, 100)


def test_what_is_saved_is_loaded(tmp_path):
    made = evidence({"x": 1.0}, {"x": (A, B)}, names={"x": "x", "y": "x"}, sharing={"x": ("z",)})
    made.save(tmp_path / "here")
    assert Evidence.load(tmp_path / "here") == made
    cache = CalibrationCache(made.native.header, {"x": 2.0})
    replace(made, without_tf32=cache, bins={"x": binned(A, B)}).save(tmp_path / "here")
    found = Evidence.load(tmp_path / "here")
    assert found.without_tf32 == cache
    assert found.bins["x"].counts.sum() == A.size + B.size
    made.save(tmp_path / "here")
    assert Evidence.load(tmp_path / "here").bins is Evidence.load(tmp_path / "here").without_tf32 is None


def test_a_folder_without_evidence_is_refused(tmp_path):
    with pytest.raises(ReportError, match="holds no evidence of a calibration"):
        Evidence.load(tmp_path)
    (tmp_path / "names.json").write_text("{}")
    with pytest.raises(ReportError, match='lacks "format"'):
        Evidence.load(tmp_path)


def test_tensors_across_operators_that_keep_values_share():
    model = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[b, 2, t] x) => (float[b, t, 2] y, float[b, 2, t] z) <float[2, 2, 1] w = {1, 2, 3, 4}>
        { c = Conv(x, w)  r = Relu(c)  y = Transpose<perm = [0, 2, 1]>(r)  z = Sigmoid(r) }
    """)
    found = sharing_tensors(model, ["x", "c", "r", "y", "z"])
    assert found == {"c": ("r", "y"), "r": ("c", "y"), "y": ("c", "r")}
