"""Searching a network whose first layer INT8 ruins, and whose other layers it does not."""

import io
import json
import multiprocessing
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper
from rich.console import Console

from tests.bundled import MODEL, TEST_SET, some_clips
from trtforge.assignment import AccuracyBudget, Assignment, time_frontier
from trtforge.checks import Timings
from trtforge.cli import main
from trtforge.cli.search import frontier_table, sensitivity_table
from trtforge.engine import BuildConfig
from trtforge.errors import (
    ConfigError,
    ExecutionError,
    NoGpuError,
    ProfileError,
    QuantizationError,
    ScalesError,
)
from trtforge.graph import describe
from trtforge.nvidia import gpus
from trtforge.nvidia.selection import flavor_for
from trtforge.pipeline import FrontierTiming, calibrate, choice_timer, quantize, search
from trtforge.pipeline.engine_timing import end_feeds, tuned_feeds
from trtforge.profiles import OptimizationProfile
from trtforge.report.frontier import draw_frontier

BUDGET = AccuracyBudget(snr_db=30.0)
V8 = flavor_for("tensorrt", "8.6.0")


def network():
    """Three convolutions; the first input has one channel that is thirty times louder."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 16, time] x) => (float[batch, 16, time] y) {
            a = Conv <pads = [1, 1]> (x, w0)
            b = Relu (a)
            c = Conv <pads = [1, 1]> (b, w1)
            d = Relu (c)
            y = Conv <pads = [1, 1]> (d, w2)
        }
    """)
    for node, name in zip(model.graph.node, ("rough[0]", "r", "fine.1", "s", "fine.2"), strict=True):
        node.name = name
    rng = np.random.default_rng(0)
    for name in ("w0", "w1", "w2"):
        value = rng.normal(scale=0.2, size=(16, 16, 3)).astype(np.float32)
        if name == "w0":
            value[:, 0] /= 30
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    return model


def feeds(seed):
    x = np.random.default_rng(seed).normal(size=(4, 16, 100)).astype(np.float32)
    x[:, 0] *= 30
    return [{"x": x}]


@pytest.fixture(scope="module")
def scales():
    return calibrate(network(), feeds(0), method="max")


def test_the_layer_that_int8_ruins_stays_in_floating_point(scales):
    found = search(network(), scales, feeds(1), budget=BUDGET)
    assert found.order[0] == "rough[0]"
    assert found.assignment.keep_float == ("rough[0]",)
    assert found.assignment.int8 == ("fine.1", "fine.2")
    assert found.assignment.int8_share == pytest.approx(2 / 3)
    assert found.everything.snr_db < 15 < 30 < found.assignment.score.snr_db
    rough = found.sensitivity[0]
    assert rough.alone.snr_db < 15 < 30 < rough.left_out.snr_db
    assert repr(found.assignment) == "Assignment(2 of 3 layers INT8, 66.7 % of the work)"

    made = quantize(network(), scales, rest="float32", assignment=found.assignment)
    assert [layer.precision for layer in describe(made).layers] == ["float32", "int8", "int8"]


def test_two_searches_give_the_same_side_by_side_or_not(scales):
    here = search(network(), scales, feeds(1), budget=BUDGET)
    others = search(network(), scales, feeds(1), budget=BUDGET, num_processes=2)
    assert here.to_json() == others.to_json()


def test_a_search_goes_on_where_it_was(scales, tmp_path):
    path, done = tmp_path / "journal.json", []

    def stop(num_done, most):
        done.append((num_done, most))
        if num_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(network(), scales, feeds(1), budget=BUDGET, journal=path, on_progress=stop)
    assert len(json.loads(path.read_text())["scores"]) == 3
    done.clear()
    found = search(
        network(), scales, feeds(1), budget=BUDGET, journal=path, on_progress=lambda *at: done.append(at)
    )
    # Seven of the sensitivity, one more of the frontier, of which three were known.
    assert done[0] == (4, 13)
    assert len(json.loads(path.read_text())["scores"]) == len(done) + 3
    assert found.to_json() == search(network(), scales, feeds(1), budget=BUDGET).to_json()


def test_blocks_are_searched_as_wholes(scales):
    found = search(network(), scales, feeds(1), budget=AccuracyBudget(snr_db=80.0), by="block")
    assert [row.group.name for row in found.sensitivity] == ["rough[0]", "fine.1", "fine.2"]
    assert found.assignment.int8 == ()
    assert found.assignment.int8_share == 0.0


def test_what_cannot_be_searched_is_refused(scales):
    with pytest.raises(ConfigError, match="the budget is about word errors, and feeds have no words"):
        search(network(), scales, feeds(1))
    with pytest.raises(ScalesError, match="the scales belong to another network"):
        search(MODEL, scales, feeds(1), budget=BUDGET)
    with pytest.raises(ConfigError, match="num_processes must be a whole number of 1 or more, got 0"):
        search(network(), scales, feeds(1), budget=BUDGET, num_processes=0)
    with pytest.raises(ConfigError, match=r"max_points must be a whole number of 2 or more, got 2\.5"):
        search(network(), scales, feeds(1), budget=BUDGET, max_points=2.5)
    silent = feeds(1)
    silent[0]["x"][0] = np.nan
    with pytest.raises(ExecutionError, match="gives NaN or infinities in FP32 on 1 of 1 clips; the first is"):
        search(network(), scales, silent, budget=BUDGET)


def test_a_layer_whose_int8_gives_infinities_is_left_out_whatever_the_budget(tmp_path):
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 16, 2] x) => (float[batch, 16, 2] y) <float[2] fall = {1, 0.001}> {
            [fine] a = Conv (x, w)
            b = Mul (a, fall)
            [small] c = Conv (b, w)
            y = Reciprocal (c)
        }
    """)
    model.graph.initializer.append(numpy_helper.from_array(np.eye(16, dtype=np.float32)[:, :, None], "w"))
    x = np.ones((1, 16, 2), np.float32)  # of b, 0.001 is below half a step of INT8, and y becomes infinite
    scales = calibrate(model, [{"x": x}], method="max")
    found = search(model, scales, [{"x": x}], budget=AccuracyBudget(snr_db=0.0))
    assert found.assignment.keep_float == ("small",)
    assert found.everything.num_nonfinite == 1
    assert found.frontier.points[0].excess[0] == "NaN or infinities in the output of 1 clips"
    console = Console(file=io.StringIO(), width=120)
    console.print(frontier_table(found))
    assert "NaN" in console.file.getvalue()
    found.save(tmp_path)
    assert "000<" not in (tmp_path / "frontier.svg").read_text()  # the plot's scale does not go to -1000 dB
    assert json.loads((tmp_path / "search.json").read_text())["everything"]["num_nonfinite"] == 1


def test_a_process_that_is_ended_from_outside_is_told(scales, tmp_path):
    def end_all(done, _):
        for process in multiprocessing.active_children():
            process.kill()

    path = tmp_path / "journal.json"
    with pytest.raises(ExecutionError, match="one of 2 processes that score networks was ended") as caught:
        search(network(), scales, feeds(1), budget=BUDGET, journal=path, num_processes=2, on_progress=end_all)
    assert "use fewer processes" in caught.value.hint
    assert json.loads(path.read_text())["scores"]


def test_a_bound_on_strata_that_judges_none_is_told_and_texts_count_for_the_journal(tmp_path):
    clips = some_clips(TEST_SET, 2)
    scales = calibrate(MODEL, clips.feeds(_features()), method="max")
    alone = AccuracyBudget(stratum_wer_increase=0.1)
    with pytest.raises(ConfigError, match="no stratum has 30 clips or more, so the bound on strata"):
        search(MODEL, scales, clips, budget=alone)
    both = AccuracyBudget(snr_db=1.0, stratum_wer_increase=0.1)
    most, path = ["stem*", "head*", "block*"], tmp_path / "journal.json"
    with pytest.warns(RuntimeWarning, match="the bound on strata judges none"):
        found = search(MODEL, scales, clips, budget=both, exclude=most, journal=path)
    assert found.assignment.keep_float == ()
    # The same audio with another text has other word errors.
    clips.save(tmp_path / "clips")
    manifest = tmp_path / "clips/manifest.jsonl"
    first, *others = manifest.read_text().splitlines()
    manifest.write_text("\n".join([json.dumps(json.loads(first) | {"text": "something else"}), *others]))
    with pytest.raises(ConfigError, match="is the journal of another search: texts_sha256 differ"):
        search(
            MODEL, scales, tmp_path / "clips", budget=AccuracyBudget(snr_db=1.0), exclude=most, journal=path
        )


def test_an_assignment_is_for_its_network(scales, tmp_path):
    found = search(network(), scales, feeds(1), budget=BUDGET)
    found.save(tmp_path)
    assert Assignment.load(tmp_path / "assignment.json") == found.assignment
    with pytest.raises(QuantizationError, match="the assignment belongs to another network"):
        found.assignment.exclude_for("0" * 64)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(QuantizationError, match=r"it lacks .format."):
        Assignment.load(tmp_path / "other.json")
    record = json.loads((tmp_path / "search.json").read_text())
    assert draw_frontier(record) == (tmp_path / "frontier.svg").read_text()
    assert "WER" not in draw_frontier(record)
    for point in record["frontier"]:
        point["score"]["snr_db"] = None  # exact, as on silence: there is nothing to draw
    assert "one by one" not in draw_frontier({**record, "refined": []})


def test_the_command_counts_words_and_quantize_takes_its_file(tmp_path, capsys):
    clips = some_clips(TEST_SET, 2)
    clips.save(tmp_path / "clips")
    scales = calibrate(MODEL, clips.feeds(_features()), method="max")
    scales.save(tmp_path / "scales.json")
    words = [
        "search",
        str(MODEL),
        "--scales",
        str(tmp_path / "scales.json"),
        "--clips",
        str(tmp_path / "clips"),
    ]
    words += ["-o", str(tmp_path / "out"), "--by", "block", "--processes", "1", "--exclude", "blocks.*"]
    assert main([*words, "--max-wer-increase", "100", "--min-snr", "90"]) == 0
    out = capsys.readouterr().out
    assert "classifier.out" in out
    assert "What each group costs" in out
    record = json.loads((tmp_path / "out/search.json").read_text())
    assert [row["group"] for row in record["sensitivity"]] == [
        "stem.conv.out",
        "head.conv.out",
        "classifier.out",
    ]
    assert record["assignment"]["score"]["words"]["num_words"] > 10
    assert record["frontier"][0]["excess"][0].endswith(" dB, at least 90")
    assert len(record["assignment"]["keep_float"]) == 3

    for name in ("assignment.json", "search.json"):
        assert main(["inspect", str(tmp_path / "out" / name)]) == 0
        assert "Assignment(0 of 3 layers INT8, 0.0 % of the work)" in " ".join(
            capsys.readouterr().out.split()
        )

    words = ["quantize", str(MODEL), "--scales", str(tmp_path / "scales.json")]
    words += ["--assignment", str(tmp_path / "out/assignment.json"), "-o", str(tmp_path / "qdq.onnx")]
    assert main(words) == 0
    assert "16 in int8, 3 in float16" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--exclude", "blocks.*"]) == 2
    assert "the network has no layer to quantize" in capsys.readouterr().err


def _features():
    from trtforge.audio import features_for_model
    from trtforge.model import load_model

    return features_for_model(load_model(MODEL))


def test_choices_are_built_beside_fp16_and_timed(scales):
    pytest.importorskip("tensorrt_rtx")
    profiles = [OptimizationProfile({"x": ((1, 16, 8), (4, 16, 100), (4, 16, 128))})]
    pairs = []

    def time_pair(baseline, candidate):
        pairs.append((baseline.manifest, candidate.manifest))
        return {"x": Timings((1.0, 1.0), (0.5, 0.7))}

    timing = FrontierTiming(profiles, flavor_for("tensorrt_rtx", version("tensorrt_rtx")))
    nodes = {"rough[0]": ("rough[0]",), "fine.1": ("fine.1",), "fine.2": ("fine.2",)}
    time_choice = choice_timer(network(), scales, nodes, timing, time_pair=time_pair)
    assert time_choice(()) == time_choice(("rough[0]",)) == {"x": (0.5, 0.7)}
    assert [(first.precision, second.precision) for first, second in pairs] == [("float16", "int8")] * 2
    asked = [{layer.name: layer.requested for layer in second.proof.layers} for _, second in pairs]
    assert asked[0] == {"rough[0]": "int8", "fine.1": "int8", "fine.2": "int8"}
    assert asked[1] == {"rough[0]": "float16", "fine.1": "int8", "fine.2": "int8"}


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU here")
def test_timing_is_refused_at_once_without_a_gpu(scales, tmp_path, capsys):
    with pytest.raises(NoGpuError, match="engines are to be timed, and CUDA finds no GPU here"):
        search(network(), scales, feeds(1), budget=BUDGET, timing=FrontierTiming((), V8))
    scales.save(tmp_path / "scales.json")
    words = ["search", str(MODEL), "--scales", str(tmp_path / "scales.json"), "--clips", str(TEST_SET)]
    assert main([*words, "-o", str(tmp_path / "out"), "--time"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "engines are to be timed, and CUDA finds no GPU here" in said
    assert "hint leave timing out, or run this on the machine that will serve" in said
    assert "option timing: --time" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--frames", "64", "512"), "--frames"),
        (("--profiles", "plan.json", "--max-batch", "0"), "--max-batch, --profiles"),
        (("--flavor", "tensorrt_rtx"), "--flavor"),
    ],
)
def test_options_of_timing_without_it_are_refused(scales, tmp_path, capsys, more, named):
    words = ["search", str(MODEL), "--scales", str(tmp_path / "scales.json"), "--clips", str(TEST_SET)]
    assert main([*words, "-o", str(tmp_path / "out")]) == 2
    assert "no scales file at" in capsys.readouterr().err
    scales.save(tmp_path / "scales.json")
    assert main([*words, "-o", str(tmp_path / "out"), *more]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{named} without --time: nothing is built" in said
    assert f"add --time, or leave {named} out" in said
    assert not (tmp_path / "out").exists()


def test_a_precision_of_the_builds_that_are_timed_is_refused():
    with pytest.raises(ConfigError, match=r"the precision of config is 'float32'") as caught:
        FrontierTiming((), V8, BuildConfig(precision="float32"))
    assert caught.value.hint == "leave the precision out of config"
    assert FrontierTiming((), V8, BuildConfig(tf32=False)).config.tf32 is False
    with pytest.raises(ConfigError, match=r"margin must be at least 0 and below 1, got -0\.1"):
        FrontierTiming((), V8, margin=-0.1)


def fixed(model, batch, time):
    """Return a network with every axis of its input fixed."""
    for dim, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (batch, 16, time), strict=True):
        dim.dim_value = size
    return model


def test_a_static_network_is_timed_at_its_one_shape_without_profiles():
    static = tuned_feeds(fixed(network(), 4, 100), ())
    assert list(static) == ["x (4, 16, 100)"]
    assert static["x (4, 16, 100)"]["x"].shape == (4, 16, 100)
    profiles = [OptimizationProfile({"x": ((1, 16, 8), (batch, 16, 100), (8, 16, 128))}) for batch in (1, 8)]
    assert list(tuned_feeds(network(), profiles)) == ["x (1, 16, 100)", "x (8, 16, 100)"]
    assert list(end_feeds(network(), profiles)) == ["x (1, 16, 8)", "x (8, 16, 128)"]
    assert end_feeds(fixed(network(), 4, 100), ()) == {}


def test_what_cannot_be_built_is_known_before_anything_is_scored(scales, tmp_path, monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    for module in ("searching", "frontier_timing"):
        monkeypatch.setattr(f"trtforge.pipeline.{module}.require_timing_gpu", lambda instead: None)
    timing = FrontierTiming((), flavor_for("tensorrt_rtx", version("tensorrt_rtx")))
    journal = tmp_path / "journal.json"
    with pytest.raises(ProfileError, match=r"the network has dynamic axes .*, and no profile was given"):
        search(network(), scales, feeds(1), budget=BUDGET, timing=timing, journal=journal)
    assert not journal.exists()


def test_the_frontier_is_drawn_by_time_where_it_was_measured(scales):
    found = search(network(), scales, feeds(1), budget=BUDGET)
    times = {(): 0.5, ("rough[0]",): 0.6}

    def time_choice(left_out):
        ratio = times.get(left_out, 0.8)
        return {"x": [ratio - 0.02, ratio, ratio + 0.02]}

    frontier = time_frontier(found.frontier, time_choice)
    timed = replace(found, frontier=frontier)
    drawn = draw_frontier(timed.to_json())
    assert "time, % of FP16" in drawn
    assert "work in INT8" in draw_frontier(found.to_json())
    console = Console(file=io.StringIO(), width=100)
    console.print(frontier_table(timed))
    (chosen,) = [line for line in console.file.getvalue().splitlines() if "1: rough[0]" in line]
    assert chosen.split()[-1] == "60"


def test_what_each_group_costs_fits_sixty_columns(scales):
    found = search(network(), scales, feeds(1), budget=BUDGET)
    console = Console(file=io.StringIO(), width=60)
    console.print(sensitivity_table(found))
    lines = console.file.getvalue().splitlines()
    headings = lines[2:5]
    assert [line.split() for line in headings] == [
        ["dB", "WER"],
        ["work,", "dB", "WER", "left", "left"],
        ["group", "%", "alone", "alone", "out", "out"],
    ]
    assert max(map(len, lines)) <= 60
