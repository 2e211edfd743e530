"""Engine files that are damaged, foreign or hostile: none may reach a library."""

import dataclasses
import json
import random

import pytest

from tests.engine.mutations import mutate
from tests.engine.test_artifact import ENGINE, MANIFEST, PLAN
from trtforge._files import sha256
from trtforge.engine import Engine, Manifest, artifact
from trtforge.engine.siblings import sibling_path, siblings
from trtforge.errors import EngineIncompatibleError, EngineIntegrityError, NoGpuError
from trtforge.nvidia.devices import Gpu
from trtforge.nvidia.execution import LoadedEngine
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.selection import flavor_for
from trtforge.runtime import Session

MUTATIONS = 10_000


@pytest.fixture
def reached(monkeypatch):
    """Count what is given to a library to load, or has a library imported."""
    calls = []
    monkeypatch.setattr(LoadedEngine, "__init__", lambda self, *args, **kwargs: calls.append(args))
    monkeypatch.setattr(Flavor, "module", lambda self: calls.append(self))
    return calls


@pytest.fixture
def here(monkeypatch):
    def pretend(capability):
        found = (Gpu(0, "NVIDIA H200", capability, 1, "580", "13.0"),)
        monkeypatch.setattr(artifact, "gpus", lambda: found)
        monkeypatch.setattr("trtforge.nvidia.devices.gpus", lambda: found)
        monkeypatch.setattr("trtforge.nvidia.selection.available", lambda: (flavor_for("tensorrt", "8.6.0"),))

    return pretend


def overwrite(path, content):
    """Write without emptying the file first, which some file systems answer by waiting for the disk."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def test_no_mutation_of_plan_or_manifest_reaches_a_library(tmp_path, here, reached):
    here("9.0")
    path, beside = tmp_path / "asr.engine", tmp_path / "asr.engine.json"
    ENGINE.save(path)
    manifest, chance, refused = beside.read_bytes(), random.Random(8), 0  # noqa: S311 - damage, not secrets
    for turn in range(MUTATIONS):
        target, whole = ((path, PLAN), (beside, manifest))[turn % 2]
        overwrite(target, mutate(whole, chance))
        with pytest.raises(EngineIntegrityError):
            Session(path)
        refused += 1
        overwrite(target, whole)
    assert refused == MUTATIONS
    assert reached == []
    assert Engine.load(path) == ENGINE


def test_no_pair_of_two_engines_passes(tmp_path):
    other = bytes(reversed(PLAN))
    newer = Engine(other, dataclasses.replace(MANIFEST, plan_sha256=sha256(other)))
    ENGINE.save(tmp_path / "a.engine")
    newer.save(tmp_path / "b.engine")
    (tmp_path / "a.engine").replace(tmp_path / "b.engine")
    with pytest.raises(EngineIntegrityError, match="the plan was altered"):
        Engine.load(tmp_path / "b.engine", check_machine=False)


@pytest.mark.parametrize(
    "content",
    [
        '{"format": "trtforge.engine/1", "digest": NaN}',
        '{"format": "trtforge.engine/1", "x": 1e999}',
        '{"format": "trtforge.engine/1", "x": ' + "9" * 5000 + "}",
        '{"format": "trtforge.engine/1", "x": ' + "[" * 900 + "]" * 900 + "}",
        '{"format": "trtforge.engine/1"}',
        "[]",
        "\0" * 100,
        "",
    ],
)
def test_hostile_manifests_are_refused(content):
    with pytest.raises(EngineIntegrityError, match=r"m is not an engine manifest|m was altered"):
        Manifest.loads(content.encode(), source="m")


@pytest.mark.parametrize(
    "change",
    [
        {"plan_bytes": "200"},
        {"profiles": 3},
        {"inputs": [{"name": "mel"}]},
        {"compute_capabilities": None},
        {"surprise": 1},
        {"library": None},
    ],
)
def test_a_manifest_with_a_good_digest_and_wrong_fields_is_refused(tmp_path, here, reached, change):
    here("9.0")
    ENGINE.save(tmp_path / "asr.engine")
    record = json.loads((tmp_path / "asr.engine.json").read_text())
    del record["digest"]
    body = json.dumps({**record, **change}, sort_keys=True)
    text = json.dumps({**record, **change, "digest": sha256(body.encode())}, indent=2) + "\n"
    (tmp_path / "asr.engine.json").write_text(text)
    with pytest.raises((EngineIntegrityError, EngineIncompatibleError)):
        Session(tmp_path / "asr.engine")
    assert reached == []


def test_a_manifest_of_before_a_field_was_added_is_read(tmp_path):
    ENGINE.save(tmp_path / "asr.engine")
    record = json.loads((tmp_path / "asr.engine.json").read_text())
    for name in ("digest", "name", "plugins_sha256", "timing_cache_sha256", "build_key"):
        del record[name]
    text = json.dumps({**record, "digest": sha256(json.dumps(record, sort_keys=True).encode())}, indent=2)
    (tmp_path / "asr.engine.json").write_text(text + "\n")
    assert Engine.load(tmp_path / "asr.engine", check_machine=False) == ENGINE


def test_without_a_gpu_no_library_is_touched(tmp_path, monkeypatch, reached):
    ENGINE.save(tmp_path / "asr.engine")
    monkeypatch.setattr("trtforge.nvidia.devices.gpus", lambda: ())
    with pytest.raises(NoGpuError, match="a GPU is needed to run an engine"):
        Session(tmp_path / "asr.engine")
    assert reached == []


def test_the_sibling_for_this_gpu_is_read(tmp_path, here):
    named = tmp_path / "asr.engine"
    for capability in ("8.6", "9.0"):
        plan = PLAN + capability.encode()
        made = dataclasses.replace(
            MANIFEST, compute_capabilities=(capability,), plan_sha256=sha256(plan), plan_bytes=len(plan)
        )
        Engine(plan, made).save(sibling_path(named, capability))
    assert siblings(named) == [tmp_path / "asr.sm86.engine", tmp_path / "asr.sm90.engine"]
    for capability in ("8.6", "9.0"):
        here(capability)
        assert Engine.load(named).manifest.compute_capabilities == (capability,)
    Engine.load(tmp_path / "asr.sm86.engine", check_machine=False).save(named)
    assert Engine.load(named).manifest.compute_capabilities == ("9.0",)
    assert Engine.load(named, check_machine=False).manifest.compute_capabilities == ("8.6",)
    here("12.0")
    with pytest.raises(EngineIncompatibleError, match=r"runs on compute capability 8\.6, this .* has 12\.0"):
        Engine.load(named)


def test_a_sibling_of_another_network_or_precision_is_not_taken(tmp_path, here):
    here("9.0")
    dataclasses.replace(ENGINE, manifest=dataclasses.replace(MANIFEST, compute_capabilities=("8.6",))).save(
        tmp_path / "asr.engine"
    )
    for change in ({"precision": "float16"}, {"onnx_sha256": "b" * 64}):
        other = dataclasses.replace(ENGINE, manifest=dataclasses.replace(MANIFEST, **change))
        other.save(tmp_path / "asr.sm90.engine")
        with pytest.raises(EngineIncompatibleError):
            Engine.load(tmp_path / "asr.engine")
    (tmp_path / "asr.sm90.engine").write_bytes(b"")
    ENGINE.save(tmp_path / "asr.fp16.engine")
    with pytest.raises(EngineIncompatibleError):
        Engine.load(tmp_path / "asr.engine")
