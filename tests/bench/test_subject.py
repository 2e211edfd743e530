"""What a network that is benchmarked says of itself."""

from pathlib import Path

import onnx
import pytest

import trtforge
from tests.bundled import MODEL
from tests.pipeline.test_annotating import FEATURES, network
from trtforge.bench import Case, Subject


def subject(path: Path) -> Subject:
    return Subject("net", path, (Case(1, 100),))


def test_a_frame_lasts_as_long_as_the_features_say(tmp_path: Path) -> None:
    assert subject(MODEL).frame_s() == 0.01
    onnx.save(trtforge.annotate(network(), features=FEATURES), tmp_path / "net.onnx")
    assert subject(tmp_path / "net.onnx").frame_s() == pytest.approx(200 / 16_000)


@pytest.mark.parametrize("said", [None, "{", '{"kind": "mine"}'])
def test_a_frame_lasts_10_ms_where_nothing_known_is_said(tmp_path: Path, said: str | None) -> None:
    model = network()
    if said is not None:
        onnx.helper.set_model_props(model, {"trtforge.features": said})
    onnx.save(model, tmp_path / "net.onnx")
    assert subject(tmp_path / "net.onnx").frame_s() == 0.01
