"""``trtforge calibrate --cache`` writes a complete calibration cache, and the network that it belongs to."""

import onnx
import pytest

from tests.bundled import CALIBRATION_SET, MODEL
from tests.cli.test_commands import part_of, run
from trtforge.calibration import parser_names, read_calibration_cache
from trtforge.scales import Scales


def test_a_cache_covers_every_tensor_that_the_parser_makes(capsys, tmp_path, recwarn):
    clips, path = part_of(CALIBRATION_SET, 3, tmp_path / "clips"), tmp_path / "asr.cache"
    status, out, _ = run(
        capsys, "calibrate", MODEL, "--calibration-set", clips, "-o", tmp_path / "scales.json",
        "--method", "max", "--cache", path, "--cache-version", "8.6.1",
    )  # fmt: skip
    assert status == 0
    names = parser_names(onnx.load(f"{path}.onnx"))
    cache = read_calibration_cache(path)
    assert (cache.library_version, list(cache.scales)) == ("8.6.1", list(names))
    assert cache.scales["(Unnamed Layer* 5) [Shuffle]_output"] == cache.scales["mel"]
    scales = Scales.load(tmp_path / "scales.json")
    assert cache.scales["mel"] == pytest.approx(scales["mel"].scale)
    assert len(scales) < len(set(names.values()))
    assert f"cache of {len(names)} tensors  {path}" in out
    assert not [warning for warning in recwarn if "no scale" in str(warning.message)]


def test_a_library_without_calibrators_is_refused_before_any_work(capsys, tmp_path):
    status, _, err = run(
        capsys, "calibrate", MODEL, "--calibration-set", CALIBRATION_SET, "-o", tmp_path / "scales.json",
        "--cache", tmp_path / "asr.cache", "--cache-version", "11.0.0",
    )  # fmt: skip
    assert status == 2
    assert "TensorRT 11.0.0 takes no calibration cache" in " ".join(err.split())
    assert not list(tmp_path.iterdir())
