import ast
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.calibration.networks import clip, convolutions, network
from trtforge.calibration import METHODS, Observer, choose, collect
from trtforge.errors import CalibrationError, ConfigError, InputError
from trtforge.feeds import ArrayFeeds, Feed
from trtforge.model import model_digest

NAMES = ["mel", "conv", "relu", "rows", "scores"]
MODEL = convolutions()


class ClipFeeds:
    """Batches of clips padded with a value that would be seen if it were counted."""

    def __init__(self, clips, batch_size=1, padding=1000.0, rejected=None):
        self.clips, self.batch_size, self.padding = dict(clips), batch_size, padding
        self.rejected = rejected or {}

    digest = "d" * 64

    def __len__(self):
        return len(self.clips) + len(self.rejected)

    def __iter__(self):
        items = list(self.clips.items())
        for start in range(0, len(items), self.batch_size):
            batch = items[start : start + self.batch_size]
            lengths = tuple(values.shape[1] for _, values in batch)
            mel = np.full((len(batch), 4, max(lengths)), self.padding, np.float32)
            for row, (_, values) in enumerate(batch):
                mel[row, :, : values.shape[1]] = values
            yield Feed({"mel": mel}, tuple(name for name, _ in batch), lengths)


def clips(count=20, num_frames=None):
    return {f"clip-{i}": clip(i, num_frames or 5 + 7 * i % 31) for i in range(count)}


def observed(*arrays):
    observer = Observer()
    for array in arrays:
        observer.observe(array)
    return observer.histogram()


class TestCounts:
    def test_inputs_and_activations_by_hand(self):
        double = network([helper.make_node("Add", ["x", "x"], ["y"])], {"x": ["n", 2]}, ["y"])
        feeds = ArrayFeeds([{"x": np.float32([[1, 0]])}, {"x": np.float32([[-3, 0.5], [2, 0]])}])
        observations = collect(double, feeds, ["y", "x", "y"])
        assert list(observations.tensors) == ["y", "x"]
        assert observations.tensors["x"] == observed(np.float32([1, 0, -3, 0.5, 2, 0]))
        assert observations.tensors["y"] == observed(np.float32([2, 0, -6, 1, 4, 0]))
        assert observations.num_clips == 2
        assert observations.feeds_sha256 == feeds.digest
        assert observations.model_sha256 == model_digest(double)
        assert collect(double, feeds, ["x"], model_sha256="c" * 64).model_sha256 == "c" * 64

    def test_the_network_may_be_a_file_and_the_feeds_a_list(self, tmp_path):
        double = network([helper.make_node("Add", ["x", "x"], ["y"])], {"x": ["n", 2]}, ["y"])
        double.graph.output[0].type.CopyFrom(double.graph.input[0].type)
        onnx.save(double, tmp_path / "double.onnx")
        observations = collect(str(tmp_path / "double.onnx"), [{"x": np.float32([[1, -3]])}], ["y"])
        assert observations.tensors["y"] == observed(np.float32([2, -6]))
        assert observations.model_sha256 == model_digest(double)

    def test_padding_is_not_counted_in_the_input(self):
        some = clips()
        observations = collect(MODEL, ClipFeeds(some, batch_size=8), ["mel"])
        assert observations.tensors["mel"] == observed(*some.values())

    @settings(deadline=None, max_examples=10)
    @given(st.randoms(use_true_random=False), st.integers(1, 16), st.integers(1, 4))
    def test_any_order_batch_size_and_split(self, random, batch_size, num_parts):
        # Zeros beyond the clip are what the convolution itself pads with, so its values are the clip's own.
        whole = collect(MODEL, ClipFeeds(clips(), padding=0.0), NAMES)
        items = list(clips().items())
        random.shuffle(items)
        parts = [
            collect(MODEL, ClipFeeds(items[part::num_parts], batch_size, padding=0.0), NAMES)
            for part in range(num_parts)
        ]
        merged = parts[0]
        for part in parts[1:]:
            merged = merged.merge(part)
        assert merged.tensors == whole.tensors
        assert merged.num_clips == whole.num_clips == 20
        for method in METHODS:
            assert choose(merged, method).tensors == choose(whole, method).tensors

    def test_network_is_not_changed(self):
        before = MODEL.SerializeToString(deterministic=True)
        collect(MODEL, ClipFeeds(clips(2)), NAMES)
        assert MODEL.SerializeToString(deterministic=True) == before

    def test_progress_and_rejections_of_the_feeds(self):
        seen = []
        feeds = ClipFeeds(clips(5), batch_size=2, rejected={"clip-x": "no audio"})
        observations = collect(
            MODEL, feeds, NAMES, on_progress=lambda done, total: seen.append((done, total))
        )
        assert seen == [(2, 6), (4, 6), (5, 6)]
        assert observations.rejected == {"clip-x": "no audio"}

    def test_half_precision(self):
        half = network([helper.make_node("Relu", ["x"], ["y"])], {"x": ["n", 2]}, ["y"])
        for value in (*half.graph.input, *half.graph.output):
            value.type.tensor_type.elem_type = 10
        feeds = ArrayFeeds([{"x": np.float16([[-1, 0.1]])}])
        assert collect(half, feeds, ["y"]).tensors["y"] == observed(np.float16([0, 0.1]))


class TestNonFinite:
    def test_batch_is_refused_by_clip_and_tensor(self):
        some = clips(200, num_frames=6)
        some["clip-7"][2, 3] = np.nan
        observations = collect(MODEL, ClipFeeds(some, batch_size=2), NAMES)
        assert observations.num_clips == 198
        assert observations.rejected == {
            "clip-6": "in one batch with clip 'clip-7', which was refused",
            "clip-7": "the feed itself holds NaN or infinity: 1 of 24 values of input 'mel' are not finite",
        }
        rest = {name: values for name, values in some.items() if name not in ("clip-6", "clip-7")}
        assert observations.tensors == collect(MODEL, ClipFeeds(rest), NAMES).tensors
        assert observations.tensors["mel"].num_nonfinite == 0

    def test_activation_alone(self):
        silent = {"loud": clip(1, 200), "silent": np.zeros((4, 6), np.float32)}
        observations = collect(MODEL, ClipFeeds(silent), ["relu", "log"], max_nonfinite_share=0.5)
        assert observations.rejected == {"silent": "6 of 6 values of tensor 'log' are not finite"}
        assert observations.num_clips == 1

    def test_too_many(self):
        some = clips(100, num_frames=6)
        for name in ("clip-3", "clip-4"):
            some[name][0, 0] = np.inf
        with pytest.raises(
            CalibrationError,
            match="2 of 100 clips gave non-finite activations, more than the 1 % allowed; first clip 'clip-3'"
            ": the feed itself holds NaN or infinity: 1 of 24 values of input 'mel'",
        ):
            collect(MODEL, ClipFeeds(some), NAMES)

    def test_padding_may_hold_anything(self):
        some = clips(3)
        observations = collect(MODEL, ClipFeeds(some, batch_size=3, padding=np.nan), ["mel"])
        assert observations.tensors["mel"] == observed(*some.values())


class TestRefusals:
    def test_unknown_tensor(self):
        with pytest.raises(CalibrationError, match="no tensor 'rellu' to observe; the nearest are 'relu'"):
            collect(MODEL, ClipFeeds(clips(1)), ["conv", "rellu"])

    def test_no_tensors(self):
        with pytest.raises(CalibrationError, match="no tensors to observe were named"):
            collect(MODEL, ClipFeeds(clips(1)), [])

    def test_share_out_of_range(self):
        with pytest.raises(ConfigError, match=r"max_nonfinite_share must lie in 0 to 1, got 1.5"):
            collect(MODEL, ClipFeeds(clips(1)), NAMES, max_nonfinite_share=1.5)

    def test_integers(self):
        shape = network([helper.make_node("Shape", ["x"], ["y"])], {"x": ["n", 2]}, ["y"])
        shape.graph.output[0].type.tensor_type.elem_type = 7
        with pytest.raises(CalibrationError, match=r"tensor 'y' cannot be observed: .* got int64"):
            collect(shape, ArrayFeeds([{"x": np.ones((1, 2), np.float32)}]), ["y"])

    def test_no_clips(self):
        with pytest.raises(CalibrationError, match=r"at least one clip, got none \(1 were rejected\)"):
            collect(MODEL, ClipFeeds({}, rejected={"a": "no audio"}), NAMES)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"wave": np.ones((1, 4, 9), np.float32)}, "an input 'wave' that the network does not have"),
            (
                {"mel": np.ones((1, 5, 9), np.float32)},
                r"gives 'mel' as float32 \[1, 5, 9\]; the network takes mel: float32 \[batch, 4, frames\]",
            ),
            ({"mel": np.ones((1, 4, 9))}, r"gives 'mel' as float64 \[1, 4, 9\]"),
            ({"mel": np.ones((4, 9), np.float32)}, r"gives 'mel' as float32 \[4, 9\]"),
        ],
    )
    def test_feeds_that_do_not_fit(self, arrays, message):
        with pytest.raises(InputError, match=message):
            collect(MODEL, ArrayFeeds([arrays]), NAMES)

    def test_missing_input(self):
        add = network([helper.make_node("Add", ["x", "y"], ["z"])], {"x": [2], "y": [2]}, ["z"])
        with pytest.raises(
            InputError, match=r"a feed lacks the input 'y'; the network takes x: float32 \[2\]; y"
        ):
            collect(add, ArrayFeeds([{"x": np.ones(2, np.float32)}]), ["z"])

    def test_network_that_fails_names_the_clips(self):
        add = network([helper.make_node("Add", ["x", "y"], ["z"])], {"x": ["a"], "y": ["b"]}, ["z"])
        feeds = ArrayFeeds([{"x": np.ones(2, np.float32), "y": np.ones(3, np.float32)}])
        with pytest.raises(CalibrationError, match="the network fails on clips batch-0: "):
            collect(add, feeds, ["z"])


def test_no_string_stands_behind_a_docstring():
    tree = ast.parse(Path(collect.__code__.co_filename).read_text(encoding="utf-8"))
    strings = [
        statement.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for statement in node.body[1:]
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    ]
    assert strings == []
