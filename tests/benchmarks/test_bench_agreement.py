import numpy as np
import pytest

from benchmarks import bench_agreement
from benchmarks.bench_agreement import PAGE, RESULT, SUBJECTS, compare, fill, is_within, load, tables
from trtforge.accuracy import measure_output
from trtforge.runtime import OnnxRunner


class Altered(OnnxRunner):
    """ONNX Runtime in an engine's place, one output changed on the way out."""

    def __init__(self, model, change=None):
        super().__init__(model)
        self.change = change

    def run(self, arrays):
        found = super().run(arrays)
        return self.change(found) if self.change else found


@pytest.mark.parametrize("name", ["decoder_step", "frame_selector"])
def test_networks_run_at_all_shapes_and_agree_with_themselves(monkeypatch, name):
    monkeypatch.setattr(bench_agreement, "Session", Altered)
    subject = SUBJECTS[name]()
    found = compare(subject.model, subject.model, subject.requests, least_snr_db=200)
    assert (found["within"], found["others_equal"], found["requests"]) == (True, True, 5)


@pytest.mark.parametrize(
    ("change", "equal"),
    [
        (lambda found: {**found, "places": found["places"][:, 1:]}, False),
        (lambda found: {**found, "places": found["places"] + 1}, False),
        (lambda found: {**found, "picked": found["picked"][1:]}, False),
        (lambda found: {**found, "picked": found["picked"] * np.float32(np.nan)}, True),
        (lambda found: {**found, "picked": found["picked"] * np.float32(0.9)}, True),
    ],
)
def test_what_differs_is_not_within(monkeypatch, change, equal):
    subject = SUBJECTS["frame_selector"]()
    monkeypatch.setattr(bench_agreement, "Session", lambda model: Altered(model, change))
    found = compare(subject.model, subject.model, subject.requests[:2], least_snr_db=40)
    assert (found["within"], found["others_equal"]) == (False, equal)


def test_only_noise_below_the_limit_is_within():
    wanted = np.ones(100, np.float32)
    assert is_within(measure_output(wanted, wanted * np.float32(1.001)), 50)
    assert not is_within(measure_output(wanted, wanted * np.float32(1.01)), 50)


def test_the_page_and_the_result_agree():
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, load(RESULT)) == page


def test_the_table_says_what_ran_and_what_did_not():
    ran = {
        "built": True,
        "requests": 3,
        "worst_output": "y",
        "outputs": {"y": {"snr_db": 54.83}},
        "layer_precisions": {"float16": 5, "float32": 1},
    }
    engines = [
        {**ran, "way": "float32", "layer_precisions": None},
        {**ran, "way": "float16"},
        {"way": "int8", "built": False, "reason": "no implementation"},
    ]
    told = tables({"networks": {"a": {"title": "a network", "engines": engines}}})
    cells = "54.8 dB; layers not told | not run | 54.8 dB; 5 FP16, 1 FP32 | not built |"
    assert f"| a network | 3 | {cells}" in told
    assert "| held to |  | 90 dB | 50 dB | 40 dB | 20 dB |" in told
