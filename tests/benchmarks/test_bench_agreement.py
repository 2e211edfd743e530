import numpy as np
import pytest

from benchmarks import bench_agreement
from benchmarks.bench_agreement import SUBJECTS, compare, is_within
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
