import numpy as np
import pytest
from onnx import parser

from benchmarks.native_calibrator import bins
from benchmarks.native_calibrator.bins import RULES, Bins, bin_width, count_bins, load_bins, save_bins
from tests.benchmarks.native_calibrator.cases import binned, laplace
from trtforge.calibration import collect, entropy_index
from trtforge.errors import CalibrationError, ReportError
from trtforge.feeds import ArrayFeeds

NETWORK = parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[b, t] x) => (float[b, t] z) { y = Neg(x)  z = Relu(y) }
""")


def count(batches, **settings):
    feeds = [{"x": np.asarray(batch, np.float32)} for batch in batches]
    first = collect(NETWORK, ArrayFeeds(feeds[:1]), ["x", "y", "z"])
    total = collect(NETWORK, ArrayFeeds(feeds), ["x", "y", "z"])
    return count_bins(NETWORK, feeds, first, total, **settings)


def places(found):
    return {int(place): int(found.counts[place]) for place in np.flatnonzero(found.counts)}


def test_the_range_of_the_first_batch_is_doubled_until_it_holds_all():
    ends = [2048 * bin_width(3.0, largest) for largest in (1.0, 3.0, 3.5, 6.0, 6.5, 12.5)]
    assert ends == [3.0, 3.0, 6.0, 6.0, 12.0, 24.0]


def test_counts_by_hand():
    found = count([[[1.0, 0.0, -0.25, -0.25]], [[-3.0, 2.0, 0.0, -0.0]]])
    # The range is 4, so that 512 bins make one.
    assert found["x"].bin_width == 4 / 2048
    assert places(found["x"]) == places(found["y"]) == {128: 2, 512: 1, 1024: 1, 1536: 1}
    assert found["x"].num_zeros == found["y"].num_zeros == 3
    # After ReLU, the first batch ends at 0.25.
    assert found["z"].bin_width == 4 / 2048
    assert (places(found["z"]), found["z"].num_zeros) == ({128: 2, 1536: 1}, 5)


def test_a_value_equal_to_the_range_lies_in_the_last_bin():
    assert places(count([[[2.0, -1.0]], [[-2.0, 0.5]]])["x"]) == {512: 1, 1024: 1, 2047: 2}


def test_the_order_of_batches_moves_the_bins():
    batches = [[[1.0, -1.0]], [[-3.0, 3.0]]]
    assert [2048 * count(each)["x"].bin_width for each in (batches, batches[::-1])] == [4.0, 3.0]


def test_counts_do_not_depend_on_pieces_and_segments(monkeypatch):
    batches = [laplace(1.0, seed, 600).reshape(2, 300) for seed in range(3)]
    whole = count(batches)
    monkeypatch.setattr(bins, "_PIECE", 7)
    pieces = count(batches, activation_bytes=1)
    assert all((pieces[name].counts == whole[name].counts).all() for name in ("x", "y", "z"))
    assert whole["x"].counts.sum() + whole["x"].num_zeros == 1800
    assert (whole["x"].counts == binned(batches[0].ravel(), np.concatenate(batches[1:]).ravel()).counts).all()


def test_a_tensor_that_starts_as_zeros_has_no_bins():
    assert list(count([[[1.0, 2.0]], [[-1.0, 2.0]]])) == ["x", "y"]


def test_other_batches_are_refused():
    feeds = ArrayFeeds([{"x": np.ones((1, 2), np.float32)}])
    seen = collect(NETWORK, feeds, ["x"])
    for value in (1.5, np.nan):
        other = [{"x": np.full((1, 2), value, np.float32)}]
        with pytest.raises(CalibrationError, match=r"lies beyond the range, 1\.0"):
            count_bins(NETWORK, other, seen, seen)


def test_rules_differ_in_the_first_bin_alone():
    counts = binned(laplace(1.0, 3), laplace(1.0, 4)).counts.copy()
    counts[0] = 40 * counts[1]
    found = Bins(0.5, counts, num_zeros=10**6)
    padded = counts.copy()
    padded[0] += 10**6
    wanted = {
        "as_second": entropy_index(counts),
        "as_counted": entropy_index(counts, first_bin="as_counted"),
        "with_zeros": entropy_index(padded, first_bin="as_counted"),
    }
    assert {rule: found.amax(rule) for rule in RULES} == {
        rule: 0.5 * (index + 0.5) for rule, index in wanted.items()
    }
    assert found.counts[0] == 40 * counts[1]


def test_what_is_saved_is_loaded(tmp_path):
    made = {"x": binned(laplace(1.0, 0), laplace(1.0, 1)), "y": binned(laplace(2.0, 2), np.zeros(3))}
    save_bins(tmp_path / "bins.npz", made)
    found = load_bins(tmp_path / "bins.npz")
    assert list(found) == ["x", "y"]
    for name, bins_ in made.items():
        assert (found[name].bin_width, found[name].num_zeros) == (bins_.bin_width, bins_.num_zeros)
        assert (found[name].counts == bins_.counts).all()


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "bins.npz").write_bytes(b"no")
    with pytest.raises(ReportError, match="holds no counts over TensorRT's bins"):
        load_bins(tmp_path / "bins.npz")
    np.savez(tmp_path / "bins.npz", format=np.array("another"))
    with pytest.raises(ReportError, match="lacks the format"):
        load_bins(tmp_path / "bins.npz")
