"""Smoothing from feeds: rows are sampled without padding, and calibration goes on with what comes out."""

import numpy as np
import pytest

import trtforge
from tests.graph.networks import feed, run, snr_db, transformer_block
from tests.graph.test_smoothing import with_outliers
from trtforge.calibration.channel_rows import collect_channel_rows
from trtforge.errors import QuantizationError
from trtforge.feeds import ArrayFeeds, Feed
from trtforge.graph import prepare


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
