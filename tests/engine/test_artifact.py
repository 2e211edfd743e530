import dataclasses
import json

import pytest

from trtforge import _files
from trtforge._files import sha256
from trtforge.engine import Engine, Manifest, artifact, load_manifest
from trtforge.errors import EngineIncompatibleError, EngineIntegrityError
from trtforge.model import TensorSpec
from trtforge.nvidia.devices import Gpu
from trtforge.nvidia.selection import flavor_for
from trtforge.profiles import OptimizationProfile

PLAN = bytes(range(200))
MANIFEST = Manifest(
    library="tensorrt",
    library_version="8.6.0",
    compute_capabilities=("9.0",),
    gpu="NVIDIA H200",
    driver="580.95.05",
    system=artifact.system_name(),
    precision="int8",
    options={"optimization_level": 3},
    profiles=(OptimizationProfile({"mel": ((1, 80, 10), (4, 80, 500), (8, 80, 1000))}),),
    inputs=(TensorSpec("mel", "float32", ("batch", 80, "frames")),),
    outputs=(TensorSpec("logits", "float32", ("batch", "frames", 29)),),
    layer_precisions={"int8": 11, "float16": 2},
    onnx_sha256="a" * 64,
    scales_sha256=None,
    build_seconds=9.5,
    trtforge_version="0.1.0",
    plan_sha256=sha256(PLAN),
    plan_bytes=len(PLAN),
)
ENGINE = Engine(PLAN, MANIFEST)


def names_beside(path):
    return sorted(found.name for found in path.parent.iterdir())


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "asr.engine"
    ENGINE.save(path)
    return path


@pytest.fixture
def here(monkeypatch):
    def pretend(version="8.6.0", capability=None, library="tensorrt"):
        found = () if capability is None else (Gpu(0, "NVIDIA H200", capability, 1, "580", "13.0"),)
        monkeypatch.setattr(artifact, "gpus", lambda: found)
        monkeypatch.setattr("trtforge.nvidia.selection.available", lambda: (flavor_for(library, version),))

    return pretend


def test_an_engine_comes_back_as_it_was_saved(saved, here):
    here(capability="9.0")
    assert Engine.load(saved) == ENGINE
    assert saved.read_bytes() == PLAN
    assert load_manifest(saved) == MANIFEST
    assert names_beside(saved) == ["asr.engine", "asr.engine.json"]
    assert str(ENGINE) == "int8 engine of tensorrt 8.6.0, 200 B, for compute capability 9.0"


def test_the_manifest_is_plain_json(saved):
    record = json.loads((saved.parent / "asr.engine.json").read_text())
    assert record["format"] == "trtforge.engine/1"
    assert record["profiles"] == [{"mel": [[1, 80, 10], [4, 80, 500], [8, 80, 1000]]}]
    assert record["layer_precisions"] == {"int8": 11, "float16": 2}


def test_every_flipped_byte_of_the_plan_is_refused(saved):
    for index in range(len(PLAN)):
        saved.write_bytes(PLAN[:index] + bytes([PLAN[index] ^ (1 << index % 8)]) + PLAN[index + 1 :])
        with pytest.raises(EngineIntegrityError, match="the plan was altered: its SHA-256 is"):
            Engine.load(saved, check_machine=False)


def test_every_changed_byte_of_the_manifest_is_refused(saved):
    beside = saved.parent / "asr.engine.json"
    content = beside.read_bytes()
    for index in range(len(content)):
        for mask in (0x01, 0x20):
            beside.write_bytes(content[:index] + bytes([content[index] ^ mask]) + content[index + 1 :])
            with pytest.raises(
                EngineIntegrityError, match=r"asr.engine.json (was altered|is not an engine manifest)"
            ):
                load_manifest(saved)


def test_a_manifest_that_was_rewritten_is_refused(saved):
    beside = saved.parent / "asr.engine.json"
    record = json.loads(beside.read_text())
    record["compute_capabilities"] = ["8.9"]
    beside.write_text(json.dumps(record, indent=2) + "\n")
    with pytest.raises(
        EngineIntegrityError, match=r"was altered: its own digest .* does not fit its content"
    ):
        Engine.load(saved)
    beside.write_text("[" * 100_000)
    with pytest.raises(EngineIntegrityError, match="is not an engine manifest"):
        Engine.load(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PLAN[:100], "is cut short: 100 bytes of 200 in the manifest"),
        (b"", "is cut short: 0 bytes of 200"),
        (PLAN + b"\0", "is too long: 201 bytes of 200"),
    ],
)
def test_a_plan_of_another_size_is_refused(saved, content, message):
    saved.write_bytes(content)
    with pytest.raises(EngineIntegrityError, match=message):
        Engine.load(saved)


def test_what_is_not_an_engine_is_refused(saved, tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(
        EngineIntegrityError, match=r"net.onnx cannot be trusted as an engine: there is no manifest"
    ):
        Engine.load(tmp_path / "net.onnx")
    saved.unlink()
    with pytest.raises(EngineIntegrityError, match="no engine at"):
        Engine.load(saved)


def test_another_version_is_refused(saved, here):
    here(version="10.16.1")
    with pytest.raises(EngineIncompatibleError) as caught:
        Engine.load(saved)
    assert caught.value.message == "the engine was built by tensorrt 8.6.0, this machine has tensorrt 10.16.1"
    assert (caught.value.have, caught.value.want) == ("tensorrt 10.16.1", "tensorrt 8.6.0")
    assert Engine.load(saved, check_machine=False) == ENGINE


def test_another_gpu_is_refused(saved, here):
    here(capability="8.9")
    with pytest.raises(EngineIncompatibleError) as caught:
        Engine.load(saved)
    assert (
        caught.value.message
        == "the engine runs on compute capability 9.0, this machine's NVIDIA H200 has 8.9"
    )
    assert (caught.value.have, caught.value.want) == ("8.9", "9.0")
    assert caught.value.hint == "build the engine again on a GPU of compute capability 8.9"


def test_another_system_is_refused_unless_the_library_does_not_mind(here, tmp_path):
    here()
    Engine(PLAN, dataclasses.replace(MANIFEST, system="Windows AMD64")).save(tmp_path / "a.engine")
    with pytest.raises(
        EngineIncompatibleError, match="the engine was built on Windows AMD64, this machine is Linux"
    ):
        Engine.load(tmp_path / "a.engine")
    here("1.7.1.116", library="tensorrt_rtx")
    portable = dataclasses.replace(
        MANIFEST, system="Windows AMD64", library="tensorrt_rtx", library_version="1.7.1.116"
    )
    Engine(PLAN, portable).save(tmp_path / "b.engine")
    assert Engine.load(tmp_path / "b.engine").manifest == portable


def test_an_engine_cannot_be_made_of_bytes_that_do_not_fit():
    with pytest.raises(EngineIntegrityError, match="the plan is cut short: 199 bytes of 200"):
        Engine(PLAN[:-1], MANIFEST)


def test_a_full_disk_leaves_the_old_engine_whole(saved, monkeypatch, here):
    here()
    other = bytes(300)
    newer = Engine(other, dataclasses.replace(MANIFEST, plan_sha256=sha256(other), plan_bytes=300))
    synced = []

    def fail_on_the_second(descriptor):
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, "fsync", fail_on_the_second)
    with pytest.raises(OSError, match="No space left on device"):
        newer.save(saved)
    assert Engine.load(saved) == ENGINE
    assert names_beside(saved) == ["asr.engine", "asr.engine.json"]


def test_a_stop_between_the_two_files_does_not_pass_unseen(saved):
    other = bytes(200)
    newer = Engine(other, dataclasses.replace(MANIFEST, plan_sha256=sha256(other)))
    (saved.parent / "asr.engine.json").write_text(newer.manifest.dumps())
    with pytest.raises(EngineIntegrityError, match="the plan was altered"):
        Engine.load(saved, check_machine=False)
