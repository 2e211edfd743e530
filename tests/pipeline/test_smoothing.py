"""Smoothing from feeds: rows are sampled without padding, and calibration goes on with what comes out."""

import numpy as np
import onnx
import onnx.parser
import pytest

import trtforge
from tests.bundled import CALIBRATION_SET, MODEL, some_clips
from tests.graph.networks import feed, run, snr_db, transformer_block
from tests.graph.test_smoothing import with_outliers
from trtforge.audio import features_for_model
from trtforge.calibration.channel_rows import collect_channel_rows
from trtforge.errors import ConfigError, QuantizationError
from trtforge.feeds import ArrayFeeds, Feed
from trtforge.graph import prepare
from trtforge.model import load_model, model_digest, model_metadata


class Padded:
    """Two clips of 20 and 12 frames in one batch, the padding of the second a thousand times too large."""

    digest = "0" * 64

    def __len__(self):
        return 2

    def __iter__(self):
        x = feed(transformer_block(), frames=20)["x"]
        x[1, 12:] *= 1000
        yield Feed({"x": x}, ("long", "short"), (20, 12))


def test_rows_are_a_sample_without_padding():
    model = prepare(transformer_block())
    seen = collect_channel_rows(model, Padded(), ["residual1"], num_rows=8)["residual1"]
    assert seen.num_seen == 32
    assert seen.rows.shape == (8, 32)
    assert seen.peaks.max() < 20
    again = collect_channel_rows(model, Padded(), ["residual1"], num_rows=8)["residual1"]
    np.testing.assert_array_equal(seen.rows, again.rows)
    # The peaks are those of other rows: 16 of the 32, as the sample is drawn from the other 16.
    assert (np.abs(seen.rows) > seen.peaks).any()
    assert collect_channel_rows(model, Padded(), ["residual1"])["residual1"].rows.shape == (16, 32)


def test_a_smoothed_network_is_calibrated_and_quantized_as_any_other():
    model = with_outliers()
    feeds = ArrayFeeds([feed(model, seed=seed) for seed in (1, 2, 3)])
    found = trtforge.smooth(model, feeds)
    assert repr(found) == "Smoothing(2 of 2 tensors changed)"
    assert all(choice.snr_after_db > choice.snr_before_db + 10 for choice in found.choices.values())
    arrays = feed(model)
    reference = run(model, arrays)["y"]
    assert snr_db(reference, run(found.model, arrays)["y"]) > 100
    gained = []
    for network in (model, found.model):
        scales = trtforge.calibrate(network, feeds, method="max")
        gained.append(snr_db(reference, run(trtforge.quantize(network, scales), arrays)["y"]))
    assert gained[1] > gained[0] + 10


def test_a_network_without_normalisation_says_so():
    from tests.graph.networks import quartznet

    model = quartznet()
    with pytest.raises(QuantizationError, match="no normalised tensor that products alone read"):
        trtforge.smooth(model, [feed(model)])


def speech_transformer():
    """Return a normalisation with outlier channels and two products on ``mel``, which says how it is made."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 80, time] mel) => (float[batch, time, 32] logits) {
            rows = Transpose <perm = [0, 2, 1]> (mel)
            normed = LayerNormalization (rows, gain, shift)
            hidden = MatMul (normed, w1)
            heard = Relu (hidden)
            logits = MatMul (heard, w2)
        }
    """)
    rng = np.random.default_rng(0)
    gain = np.where(np.arange(80) % 40 == 3, 60.0, 1.0)
    weights = {
        "gain": gain,
        "shift": np.zeros(80),
        "w1": rng.normal(scale=0.1, size=(80, 64)) / gain[:, None],
        "w2": rng.normal(scale=0.1, size=(64, 32)),
    }
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()
    )
    onnx.helper.set_model_props(model, model_metadata(load_model(MODEL)))
    return model


def test_compile_smooths_before_it_calibrates():
    pytest.importorskip("tensorrt_rtx")
    model, clips = speech_transformer(), some_clips(CALIBRATION_SET, 3)
    settings = {"flavor": "tensorrt_rtx", "method": "max"}
    plain, smoothed = (trtforge.compile(model, clips, smooth=smooth, **settings) for smooth in (False, True))
    assert smoothed.engine.manifest.proof.counts["delivered"] == 2
    assert smoothed.report["model"]["sha256"] == model_digest(model) != smoothed.scales.model_sha256
    (arrays,) = (feed.arrays for feed in clips.subset(clips.ids[:1]).feeds(features_for_model(model)))
    reference = run(model, arrays)["logits"]
    before, after = (snr_db(reference, run(made.model, arrays)["logits"]) for made in (plain, smoothed))
    assert after > before + 6


def test_smoothing_is_for_int8():
    with pytest.raises(ConfigError, match="smooth is about INT8 and FP8, and the precision is 'float16'"):
        trtforge.compile(speech_transformer(), CALIBRATION_SET, precision="float16", smooth=True)
