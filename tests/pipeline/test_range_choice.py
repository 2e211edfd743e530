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


def test_a_smaller_loss_is_compared_too_and_told_where_another_method_is_taken():
    # Entropy leaves them 26 dB, and mse 30.
    values = np.abs(np.random.default_rng(0).laplace(size=(8192, 64))) ** 1.42
    model, feeds = network(WEIGHTS), ArrayFeeds([{"x": values.astype(np.float32)}])
    observations = trtforge.observe(model, feeds)
    assert choose_ranges(observations, model, feeds, method="entropy").remarks == ()
    chosen = choose_ranges(observations, model, feeds)
    assert chosen.scales.method == "mse"
    assert "'mse' was taken, by the SNR of the outputs on 1 feed, in dB: 'entropy' " in chosen.remarks[0]


OTHER_OUTPUTS = {
    "zero": "c = Mul (x, zero)",
    "infinite": "c = Div (x, zero)",
    "NaN": "n = Mul (x, zero)\n c = Div (n, zero)",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("other", OTHER_OUTPUTS)
def test_outputs_that_int8_does_not_change_do_not_count(other):
    model, arrays = CASES["mse"]
    both = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 64] x) => (float[batch, 64] y, float[batch, 64] c) {{
            y = MatMul (x, w)
            {OTHER_OUTPUTS[other]}
        }}
    """)
    zero = onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero")
    both.graph.initializer.extend([model.graph.initializer[0], zero])
    feeds = ArrayFeeds([{"x": array.astype(np.float32)} for array in arrays])
    alone, with_other = (
        choose_ranges(trtforge.observe(given, feeds), given, feeds).remarks[0] for given in (model, both)
    )
    assert with_other == alone


def test_symbols_are_not_compared():
    model, arrays = CASES["mse"]
    symbols = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 64] x) => (int64[batch] best) { y = MatMul (x, w)
            best = ArgMax <axis = -1, keepdims = 0> (y) }
    """)
    symbols.graph.initializer.append(model.graph.initializer[0])
    feeds = ArrayFeeds([{"x": array.astype(np.float32)} for array in arrays])
    chosen = choose_ranges(trtforge.observe(symbols, feeds), symbols, feeds)
    assert chosen.scales.method == "entropy"
    assert chosen.remarks[0].endswith("the network has no floating-point output that INT8 changes")


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
