"""Scales are checked values that survive a file."""

import json
from pathlib import Path

import pytest

from trtforge.errors import ScalesError
from trtforge.scales import Scales, TensorScale


def some_scales() -> Scales:
    return Scales(
        tensors={"a": TensorScale(12.7, 20.0, 0.001), "b": TensorScale(1e-6, 0.0, floored=True)},
        method="entropy",
        model_sha256="m" * 64,
        feeds_sha256="f" * 64,
        num_clips=3,
        rejected={"clip-9": "no samples"},
    )


def test_the_scale_is_the_step_of_int8() -> None:
    assert some_scales()["a"].scale == pytest.approx(0.1)


def test_a_file_brings_back_the_same_value(tmp_path: Path) -> None:
    some_scales().save(tmp_path / "scales.json")
    assert Scales.load(tmp_path / "scales.json") == some_scales()


@pytest.mark.parametrize("amax", [0.0, -1.0, float("nan"), float("inf")])
def test_a_range_must_be_finite_and_positive(amax: float) -> None:
    with pytest.raises(ScalesError, match="amax must be finite and positive"):
        TensorScale(amax, 1.0)


def test_an_unknown_tensor_says_what_to_do() -> None:
    with pytest.raises(ScalesError, match="no scale for tensor 'c' among 2"):
        some_scales()["c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "it lacks"),
        ({"tensors": {"a": {"amax": 1.0}}}, "damaged scales file: KeyError"),
        ({"tensors": []}, "damaged scales file"),
        ({"num_clips": "many"}, "damaged scales file"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "scales.json"
    path.write_text(json.dumps(some_scales().to_json() | change))
    with pytest.raises(ScalesError, match=message):
        Scales.load(path)


def test_text_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scales.json"
    path.write_text("{")
    with pytest.raises(ScalesError, match="is no scales file"):
        Scales.load(path)
