"""Each kind of broken configuration is refused, with its own reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tritonclient")
pytest.importorskip("grpc")
pytest.importorskip("tensorrt_rtx")

from tests.serving.triton.engines import as_tensorrt, built, saved
from trtforge.errors import RepositoryError
from trtforge.serving.triton import TritonSettings, check_model, check_repository, export_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a good model of two profiles that accept batches to 4, for compute capability 9.0."""
    engine = saved(tmp_path, as_tensorrt(built(wide=True)))
    return export_model([engine], tmp_path / "models", name="asr", settings=TritonSettings(cuda_graphs=True))


def change(model: Path, old: str, new: str) -> list[str]:
    """Change the configuration once where ``old`` stands first, and return what is found then."""
    path = model / "config.pbtxt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return [str(finding) for finding in check_model(model)]


def test_the_exported_model_passes(model: Path) -> None:
    assert check_model(model) == ()
    assert check_repository(model.parent) == {"asr": ()}


PREFERRED = "  preferred_batch_size: 4\n"
BROKEN = json.loads(Path(__file__).with_name("broken.json").read_text())


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_configuration_is_refused(model: Path, kind: str) -> None:
    broken = BROKEN[kind]
    found = change(model, broken["replace"], broken["by"])
    assert any(broken["reason"] in finding for finding in found), found


def test_a_configuration_that_triton_completes_is_judged_after_its_defaults(model: Path) -> None:
    assert change(model, 'platform: "tensorrt_plan"\n', "") == []
    assert change(model, 'backend: "tensorrt"', "") == []
    assert change(model, 'name: "asr"\n', "") == []
    assert change(model, PREFERRED, "") == []


def test_without_a_list_the_first_profile_alone_is_served(model: Path) -> None:
    found = change(model, '  profile: "0"\n  profile: "1"\n', "")
    assert found == [
        *(
            f"warm-up (engine): 1/model.plan: warm-up 'profile_1_batch_{size}' has a shape that no served "
            "profile takes"
            for size in (1, 4)
        ),
        *(
            f"graph (engine): 1/model.plan: CUDA graph {number} has inputs or a shape that no served "
            "profile takes"
            for number in (2, 3)
        ),
    ]


def test_without_dynamic_batching_the_queue_has_no_end(model: Path) -> None:
    text = (model / "config.pbtxt").read_text()
    start, end = text.index("dynamic_batching {"), text.index("optimization {")
    assert change(model, text[start:end], "") == [
        "queue-size (trtforge): there is no dynamic_batching, so the queue grows without limit"
    ]


def test_files_beside_the_plans_may_be_named_where_they_are(model: Path) -> None:
    (model / "labels.txt").write_text("a\n")
    (model / "warmup").mkdir()
    (model / "warmup/mel.bin").write_bytes(bytes(4 * 4 * 32))
    assert change(model, '  name: "logits"\n', '  name: "logits"\n  label_filename: "labels.txt"\n') == []
    assert change(model, "      zero_data: true\n", '      input_data_file: "mel.bin"\n') == []


def test_an_altered_plan_is_found(model: Path) -> None:
    plan = model / "1/model.plan"
    content = bytearray(plan.read_bytes())
    content[1000] ^= 1
    plan.write_bytes(content)
    assert [str(finding) for finding in check_model(model)] == [
        "plan (engine): 1/model.plan is not the plan that its manifest describes"
    ]


def test_a_plan_without_a_manifest_is_found(model: Path) -> None:
    (model / "1/model.plan.json").unlink()
    (finding,) = check_model(model)
    assert "cannot be trusted as an engine: there is no manifest at" in finding.reason


def test_a_plan_whose_name_can_be_none_is_found(model: Path) -> None:
    config = model / "config.pbtxt"
    config.write_text(config.read_text().replace('"model.plan"', '"a\\000b"'))
    (finding,) = check_model(model)
    assert finding.reason == "'a\\x00b' can be no file's name"


def test_a_folder_whose_name_triton_cannot_hold_is_no_version(model: Path) -> None:
    (model / ("9" * 30)).mkdir()
    (model / "1\u0663").mkdir()
    assert check_model(model) == ()


def test_a_folder_without_models_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no model repository at"):
        check_repository(tmp_path)
    (tmp_path / "empty").mkdir()
    (finding,) = check_repository(tmp_path)["empty"]
    assert "config.pbtxt cannot be read" in finding.reason
