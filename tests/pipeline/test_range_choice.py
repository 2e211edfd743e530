"""Ranges that are chosen by the network's output, where a tensor's own values do not tell."""

import warnings

import numpy as np
import onnx
import onnx.parser
import pytest

import trtforge
from trtforge.errors import ConfigError, ExecutionError
from trtforge.feeds import ArrayFeeds
from trtforge.pipeline import range_choice
from trtforge.pipeline.range_choice import choose_ranges

pytest.importorskip("onnxruntime")
RANDOM = np.random.default_rng(0)
# A large value in a few channels, which the weights make as small again: to the tensor they are nearly all of
# its energy, to the output no more than the others.
LOUDNESS = np.where(np.arange(64) < 2, 100, 1).astype(np.float32)
WEIGHTS = RANDOM.standard_normal((64, 64)).astype(np.float32)


def network(weights):
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 64] x) => (float[batch, 64] y) { y = MatMul (x, w) }
    """)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    return model


CASES = {
    "entropy": (network(WEIGHTS / LOUDNESS[:, None]), [RANDOM.standard_normal((512, 64)) * LOUDNESS]),
    "mse": (network(WEIGHTS), [RANDOM.standard_t(2, (8192, 64)) * RANDOM.standard_t(2, (8192, 64))]),
}


@pytest.mark.parametrize("best", CASES)
def test_the_method_that_keeps_the_output_nearest_is_taken(best):
    model, arrays = CASES[best]
    feeds = ArrayFeeds([{"x": array.astype(np.float32)} for array in arrays])
    observations = trtforge.observe(model, feeds)
    by = {method: choose_ranges(observations, model, feeds, method=method) for method in ("entropy", "mse")}
    assert "Compare method='mse'" in by["entropy"].remarks[0]
    assert by["mse"].remarks == ()
    snrs = {}
    for method, chosen in by.items():
        network = trtforge.quantize(model, chosen.scales, rest="float32")
        report = trtforge.compare(model, network, feeds)
        snrs[method] = report.outputs["candidate"]["y"].snr_db
    assert max(snrs, key=snrs.get) == best
    chosen = choose_ranges(observations, model, feeds)
    assert chosen.scales == by[best].scales
    (remark,) = chosen.remarks
    assert f"{best!r} was taken, by the SNR of the outputs on 1 feed, in dB: 'entropy' " in remark
    assert f"'mse' {snrs['mse']:.1f}" in remark
    with pytest.warns(RuntimeWarning, match=f"'{best}' was taken"):
        assert trtforge.calibrate(model, feeds) == by[best].scales


def test_where_entropy_serves_no_network_is_run(monkeypatch):
    monkeypatch.setattr(range_choice, "OnnxRunner", None)
    feeds = ArrayFeeds([{"x": RANDOM.standard_normal((512, 64)).astype(np.float32)}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trtforge.calibrate(network(WEIGHTS), feeds).method == "entropy"


def test_what_cannot_be_compared_keeps_entropy_and_says_why(monkeypatch):
    model, arrays = CASES["mse"]
    feeds = ArrayFeeds([{"x": array.astype(np.float32)} for array in arrays])
    observations = trtforge.observe(model, feeds)

    def fail(*given, **options):
        raise ExecutionError("no memory is left")

    monkeypatch.setattr(range_choice, "quantize", fail)
    chosen = choose_ranges(observations, model, feeds)
    assert chosen.scales.method == "entropy"
    assert chosen.remarks[0].endswith("Other methods were not compared: no memory is left")


def test_saved_histograms_alone_do_not_tell():
    feeds = ArrayFeeds([{"x": RANDOM.standard_normal((512, 64)).astype(np.float32)}])
    observations = trtforge.observe(network(WEIGHTS), feeds)
    with pytest.raises(ConfigError, match="no calibration method 'auto'"):
        trtforge.choose(observations, "auto")
