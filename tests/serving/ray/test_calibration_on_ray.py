"""Calibration over many processes counts what one process counts, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("onnxruntime")
pytest.importorskip("numba")

from tests.bundled import CALIBRATION_SET, MODEL
from tests.cli.test_commands import part_of
from trtforge.audio import ClipSet, features_for_model
from trtforge.calibration import choose, collect
from trtforge.errors import ClipSetError, ConfigError
from trtforge.model import load_model
from trtforge.serving.ray import collect_on_ray

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


@pytest.fixture
def clips(tmp_path: Path) -> ClipSet:
    """Return seven clips, one of which cannot be decoded though its manifest is believed."""
    folder = part_of(CALIBRATION_SET, 7, tmp_path / "clips")
    spoilt = sorted((folder / "audio").iterdir())[3]
    shutil.copyfile(Path(__file__), spoilt)
    return ClipSet.load(folder, verify=False)


def test_three_processes_count_what_one_counts(clips: ClipSet) -> None:
    model, features = load_model(MODEL), features_for_model(MODEL)
    tensors = ["mel", *(node.output[0] for node in model.graph.node if node.op_type == "Conv")][:5]
    alone = collect(model, clips.feeds(features, max_bad_share=0.2), tensors)
    seen: list[tuple[int, int]] = []
    spread = collect_on_ray(
        MODEL, clips, features, tensors, num_parts=3, max_bad_share=0.2,
        on_progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert spread.dumps() == alone.dumps()
    assert spread.num_clips == 6
    assert list(spread.rejected) == ["podcast_en-003"]
    assert choose(spread, "entropy") == choose(alone, "entropy")
    assert seen[-1] == (7, 7)


def test_too_many_bad_clips_are_refused(clips: ClipSet) -> None:
    features = features_for_model(MODEL)
    with pytest.raises(ClipSetError, match="1 of 7 clips of 'clips' are unusable, at most 10% may be"):
        collect_on_ray(MODEL, clips, features, ["mel"], num_parts=2)
    with pytest.raises(ConfigError, match="num_parts and num_threads must be 1 or more"):
        collect_on_ray(MODEL, clips, features, ["mel"], num_parts=0)
