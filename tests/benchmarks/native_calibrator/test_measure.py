import time
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.native_calibrator import calibrate, measure
from benchmarks.native_calibrator.compare import compare
from benchmarks.native_calibrator.evidence import Evidence
from benchmarks.native_calibrator.measure import Measurement, Options
from benchmarks.native_calibrator.networks import Subject
from benchmarks.native_calibrator.timing import Times
from tests.benchmarks.native_calibrator.cases import evidence, laplace
from tests.engine.networks import PROFILE, conv_net
from tests.runtime.fake_gpu import ENGINE
from trtforge.calibration import CalibrationCache, choose, parser_names, read_calibration_cache
from trtforge.errors import BuildError, ExecutionError, ReportError
from trtforge.nvidia.v8 import V8

V860 = V8("8.6.0")


def subject(name, *, limit=None):
    rng = np.random.default_rng(0)
    batches = tuple({"mel": rng.standard_normal((2, 4, 32), np.float32)} for _ in range(3))
    return Subject(name, conv_net(), PROFILE, batches, has_words=True)


@pytest.fixture
def played(monkeypatch):
    """Play TensorRT: it chooses our scales, of which TF32 moves one."""
    model = conv_net()
    total = calibrate.observe(subject("recogniser"))[1]
    content = calibrate.our_cache(total, V860, parser_names(model))
    own = read_calibration_cache(content)
    moved = CalibrationCache(own.header, {**own.scales, "r1": 1.1 * own.scales["r1"]})
    asked = []

    def native(given, flavor, *, timing_cache, level=None):
        asked.append((type(flavor).__name__, level))
        return ENGINE, own if isinstance(flavor, calibrate.V8WithoutTf32) else moved

    def from_cache(given, flavor, cache, *, timing_cache, level=None):
        assert cache == content
        return ENGINE

    def timed(engines, inputs, *, repetitions):
        samples = dict.fromkeys(engines, (1.0, 2.0))
        return Times(samples, 3, "CUDA graph", ("before", "after"))

    monkeypatch.setattr(measure, "make_subject", subject)
    monkeypatch.setattr(calibrate, "parsed_names", lambda model, flavor: parser_names(model))
    monkeypatch.setattr(calibrate, "calibrate_natively", native)
    monkeypatch.setattr(calibrate, "build_from_cache", from_cache)
    monkeypatch.setattr(measure, "time_engines", timed)
    monkeypatch.setattr(
        measure, "output_errors", lambda _, engines: {name: {"snr_db": 30.0} for name in engines}
    )
    monkeypatch.setattr(measure, "word_errors", lambda engines, *, limit: [{"runner": "FP32"}])
    return asked


def measurement(tmp_path, **settings):
    saved = []
    options = Options(evidence=tmp_path, **settings)
    made = Measurement("recogniser", V860, options, time.perf_counter(), lambda: saved.append(1))
    return made, saved


def test_two_passes_over_parts_count_what_one_does():
    whole = subject("recogniser")
    first, total = calibrate.observe(whole)
    assert calibrate.observe(replace(whole, batches=whole.batches[:1]))[1].tensors == first.tensors
    assert total.num_clips == 3
    assert total.tensors["mel"].num_values == 3 * 2 * 4 * 32
    assert len(choose(total, "entropy")) == len(total.tensors) == 4


def test_every_table_is_filled_and_the_evidence_kept(played, tmp_path):
    made, saved = measurement(tmp_path, level=2)
    made.run()
    (summary,) = made.rows["networks"]
    assert summary["failed"] is None
    assert (summary["num_batches"], summary["num_rows"], summary["shape"]) == (3, 6, [2, 4, 32])
    assert summary["num_compared"] == len(parser_names(conv_net()))
    assert summary["num_compared"] - summary["num_within"] in (1, 2)
    assert summary["num_within_without_tf32"] is None
    assert summary["launched_by"] == "CUDA graph"
    assert [row["engine"] for row in made.rows["times"]] == ["native", "ours", "native, again"]
    assert [row["snr_db"] for row in made.rows["engines"]] == [30.0, 30.0]
    assert made.rows["rates"] == [{"network": "recogniser", "runner": "FP32"}]
    assert len(saved) == len(summary["seconds"]) == 10
    assert summary["num_over_bins"] == summary["num_compared"]
    assert Evidence.load(tmp_path / "recogniser") == made.evidence
    assert played == [("V8", 2)]


def test_the_pass_without_tf32_explains_what_tf32_moved(played, tmp_path):
    made, _ = measurement(tmp_path)
    made.run()
    made.calibrate_without_tf32()
    (summary,) = made.rows["networks"]
    assert summary["failed"] is None
    assert summary["num_within_without_tf32"] == summary["num_compared"]
    (row,) = (row for row in made.rows["tensors"] if row["tensor"] == "r1")
    assert row["explanation"] == "tf32"
    assert played[-1] == ("V8WithoutTf32", 0)
    assert (tmp_path / "recogniser/without_tf32.cache").is_file()


def test_bins_are_counted_after_the_fact(played, tmp_path):
    made, _ = measurement(tmp_path)
    made.run()
    (summary,) = made.rows["networks"]
    found = measure.with_bins(replace(made.evidence, bins=None), summary)
    assert list(found.bins) == list(made.evidence.bins)
    assert all((found.bins[name].counts == bins.counts).all() for name, bins in made.evidence.bins.items())
    with pytest.raises(ReportError, match="network 123456789abc was measured, and this checkout makes"):
        measure.with_bins(made.evidence, {**summary, "model_sha256": "123456789abc" + "0" * 52})


def test_counts_made_later_are_no_longer_left_out():
    parts = laplace(1.0, 0), laplace(1.0, 1)
    summary = {"left_out": [measure.COUNT_BINS, "else"]}
    for with_bins, left_out in ((False, [measure.COUNT_BINS, "else"]), (True, ["else"])):
        found = compare(evidence({"x": 1.0}, {"x": parts}, with_bins=with_bins))
        (row,) = measure.compared_rows("recogniser", found, summary)["networks"]
        assert row["left_out"] == left_out


def test_a_failure_while_timing_leaves_the_scales_compared(played, tmp_path, monkeypatch, capsys):
    def broken(*_, **__):
        raise ExecutionError("the engine did not run: no")

    monkeypatch.setattr(measure, "time_engines", broken)
    made, _ = measurement(tmp_path)
    made.run()
    (summary,) = made.rows["networks"]
    assert summary["failed"] == "time: ExecutionError: the engine did not run: no"
    assert summary["num_compared"] > 0
    assert made.rows["times"] == []
    assert made.rows["rates"] != []
    assert "Traceback" in capsys.readouterr().err


def test_a_failed_build_is_recorded_and_ends_the_network_alone(played, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise BuildError("could not build")

    monkeypatch.setattr(calibrate, "calibrate_natively", broken)
    made, _ = measurement(tmp_path)
    made.run()
    made.calibrate_without_tf32()
    assert made.rows["networks"][0]["failed"] == "calibrate natively: BuildError: could not build"
    assert made.rows["tensors"] == []


def test_a_network_that_begins_too_late_is_left_out(played, tmp_path):
    made, _ = measurement(tmp_path, time_limit_s=0.0)
    made.run()
    made.calibrate_without_tf32()
    assert made.rows["networks"][0]["left_out"] == ["everything"]
    assert played == []
