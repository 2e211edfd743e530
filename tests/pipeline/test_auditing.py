import io
from pathlib import Path

import pytest
from rich.console import Console

from trtforge.audio import ClipSet
from trtforge.errors import ConfigError
from trtforge.pipeline import audit, make_orders, observe

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "examples/models/asr_en/asr_en.onnx"


@pytest.fixture(scope="module")
def clips():
    whole = ClipSet.load(ROOT / "calibration_sets/podcast_en", verify=False)
    clean = [clip.id for clip in whole if clip.strata["noise"] == "none"][:4]
    noisy = [clip.id for clip in whole if clip.strata["noise"] != "none"][:6]
    return whole.subset(clean + noisy)


def test_the_bundled_network_on_a_few_clips(clips):
    from trtforge.audio import features_for_model
    from trtforge.calibration import choose
    from trtforge.model import load_model

    report = audit(MODEL, clips, method="max", num_seeds=1)
    model = load_model(MODEL)
    observations = observe(model, clips.feeds(features_for_model(model)))
    scales = choose(observations, "max")
    assert {i.tensor: i.amax for i in report.influences} == {name: scales[name].amax for name in scales}
    assert (report.model_sha256, report.feeds_sha256) == (scales.model_sha256, scales.feeds_sha256)
    assert report.num_clips == 10
    assert report.saturations == ()
    assert report.convergence.orders == ("stratified", "random", "clean")
    assert [drift.num_clips for drift in report.convergence.curve("clean", "entropy")] == [4]
    assert any(cell.num_clips == 0 for cell in report.coverage.cells)


def test_progress_is_told_in_two_stages(clips, monkeypatch):
    said = io.StringIO()
    audit(MODEL, clips[:2], method="max", num_seeds=1, console=Console(file=said, width=100))
    lines = [line.split() for line in said.getvalue().splitlines()]
    assert [line[1] for line in lines] == ["observe", "audit"]
    assert " ".join(lines[0][2:6]) == "19 tensors on 2"
    assert " ".join(lines[1][2:5]) == "thresholds by max"


def test_hopeless_settings_are_refused_before_any_work(clips):
    with pytest.raises(ConfigError, match="num_seeds must be at least 1, got 0"):
        audit("no such network.onnx", clips, num_seeds=0)


def test_orders(clips):
    orders = make_orders(clips, clips.ids, num_seeds=2)
    assert {kind: [len(order) for order in found] for kind, found in orders.items()} == {
        "stratified": [10, 10],
        "random": [10, 10],
        "clean": [4, 4],
    }
    assert list(make_orders(clips, clips.ids[4:])) == ["stratified", "random"]
    with pytest.raises(ConfigError, match="num_seeds must be at least 1, got 0"):
        make_orders(clips, clips.ids, num_seeds=0)
