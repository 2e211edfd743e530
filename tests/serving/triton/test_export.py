"""Engines and manifests become a repository that Triton's own messages can hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("tritonclient")
pytest.importorskip("grpc")
pytest.importorskip("tensorrt_rtx")

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tests.engine.test_artifact import ENGINE
from tests.serving.triton.engines import as_tensorrt, built, saved
from trtforge.cli import main
from trtforge.engine import Engine
from trtforge.errors import ConfigError, EngineIntegrityError, RepositoryError
from trtforge.model import TensorSpec
from trtforge.profiles import OptimizationProfile
from trtforge.serving.triton import TritonSettings, check_repository, export_model


def config_of(model: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse((model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def files_in(model: Path) -> list[str]:
    return sorted(str(path.relative_to(model)) for path in model.rglob("*") if path.is_file())


def test_tensors_batches_and_queues_reach_the_configuration(tmp_path: Path) -> None:
    engine = saved(tmp_path, as_tensorrt(built(wide=True)))
    settings = TritonSettings(
        preferred_batch_sizes=(2, 4), queue_timeout_us=300_000, max_queue_size=32, gpus=(0, 1), num_versions=2
    )
    config = config_of(export_model([engine], tmp_path / "models", name="asr", settings=settings))
    assert [(config.name, config.platform, config.backend)] == [("asr", "tensorrt_plan", "tensorrt")]
    assert config.max_batch_size == 4, "the narrower of two profiles decides"
    assert [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in config.input] == [
        ("mel", model_config_pb2.TYPE_FP32, [4, -1])
    ]
    assert list(config.output[0].dims) == [5, -1]
    assert list(config.dynamic_batching.preferred_batch_size) == [2, 4]
    policy = config.dynamic_batching.default_queue_policy
    assert (policy.timeout_action, policy.default_timeout_microseconds, policy.max_queue_size) == (
        policy.REJECT,
        300_000,
        32,
    )
    (group,) = config.instance_group
    assert (list(group.gpus), list(group.profile)) == ([0, 1], ["0", "1"])
    assert config.version_policy.latest.num_versions == 2
    shapes = {sample.name: list(sample.inputs["mel"].dims) for sample in config.model_warmup}
    assert shapes == {
        **{f"profile_0_batch_{size}": [4, 32] for size in (1, 2, 4)},
        **{f"profile_1_batch_{size}": [4, 100] for size in (1, 2, 4)},
    }
    assert not config.optimization.cuda.graphs


def test_each_gpu_gets_its_plan(tmp_path: Path) -> None:
    paths = [
        saved(tmp_path, as_tensorrt(built(), capability), f"asr.sm{capability.replace('.', '')}.engine")
        for capability in ("8.6", "9.0")
    ]
    model = export_model(paths, tmp_path / "models", name="asr")
    assert dict(config_of(model).cc_model_filenames) == {"8.6": "model_sm86.plan", "9.0": "model_sm90.plan"}
    assert files_in(model) == [
        "1/model_sm86.plan", "1/model_sm86.plan.json", "1/model_sm90.plan", "1/model_sm90.plan.json",
        "config.pbtxt",
    ]  # fmt: skip
    assert Engine.load(model / "1/model_sm90.plan", check_machine=False).plan == built().plan


def test_a_plan_for_all_newer_gpus_is_the_default(tmp_path: Path) -> None:
    paths = [
        saved(tmp_path, as_tensorrt(built(), *capabilities), name)
        for name, capabilities in (("asr.engine", ("8.0+",)), ("asr.sm90.engine", ("9.0",)))
    ]
    config = config_of(export_model(paths, tmp_path / "models", name="asr"))
    assert config.default_model_filename == "model.plan"
    assert dict(config.cc_model_filenames) == {"9.0": "model_sm90.plan"}


def test_versions_follow_one_another(tmp_path: Path) -> None:
    engine = saved(tmp_path, as_tensorrt(built()))
    export_model([engine], tmp_path / "models", name="asr")
    model = export_model([engine], tmp_path / "models", name="asr", settings=TritonSettings(num_versions=2))
    assert files_in(model) == [
        "1/model.plan", "1/model.plan.json", "2/model.plan", "2/model.plan.json", "config.pbtxt",
    ]  # fmt: skip
    assert check_repository(tmp_path / "models") == {"asr": ()}


def test_cuda_graphs_have_exact_shapes(tmp_path: Path) -> None:
    engine = saved(tmp_path, as_tensorrt(built()))
    model = export_model([engine], tmp_path / "models", name="asr", settings=TritonSettings(cuda_graphs=True))
    graphs = config_of(model).optimization.cuda
    assert graphs.graphs
    assert [(graph.batch_size, list(graph.input["mel"].dim)) for graph in graphs.graph_spec] == [
        (1, [4, 32]),
        (4, [4, 32]),
    ]
    assert not any(graph.HasField("graph_lower_bound") for graph in graphs.graph_spec)


def test_an_engine_whose_tensors_share_no_batch_is_served_without_batching(tmp_path: Path) -> None:
    fixed = dataclasses.replace(
        ENGINE.manifest,
        inputs=(TensorSpec("mel", "float32", (1, 80, "frames")),),
        outputs=(TensorSpec("logits", "float32", (1, "frames", 29)),),
        profiles=(OptimizationProfile({"mel": ((1, 80, 10), (1, 80, 500), (1, 80, 1000))}),),
    )
    path = saved(tmp_path, Engine(ENGINE.plan, fixed))
    config = config_of(export_model([path], tmp_path / "models", name="asr"))
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert [list(tensor.dims) for tensor in (*config.input, *config.output)] == [[1, 80, -1], [1, -1, 29]]
    assert check_repository(tmp_path / "models") == {"asr": ()}


def test_a_row_that_is_one_number_is_reshaped(tmp_path: Path) -> None:
    scored = dataclasses.replace(
        ENGINE.manifest,
        outputs=(*ENGINE.manifest.outputs, TensorSpec("score", "float32", ("batch",))),
    )
    path = saved(tmp_path, Engine(ENGINE.plan, scored))
    config = config_of(export_model([path], tmp_path / "models", name="asr"))
    assert list(config.output[1].dims) == [1]
    assert config.output[1].HasField("reshape")
    assert check_repository(tmp_path / "models") == {"asr": ()}


def test_what_triton_cannot_load_is_not_written(tmp_path: Path) -> None:
    engine = saved(tmp_path, built())
    with pytest.raises(RepositoryError, match=r"built by tensorrt_rtx .*, Triton loads plans of tensorrt"):
        export_model([engine], tmp_path / "models", name="asr")
    assert not (tmp_path / "models").exists()


def test_an_altered_engine_is_not_written(tmp_path: Path) -> None:
    engine = saved(tmp_path, as_tensorrt(built()))
    engine.write_bytes(engine.read_bytes()[:-1] + b"x")
    with pytest.raises(EngineIntegrityError, match="the plan was altered"):
        export_model([engine], tmp_path / "models", name="asr")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_batch_size": 8}, "max_batch_size 8 exceeds what the engine's profiles accept: 4"),
        ({"preferred_batch_sizes": (6,)}, "preferred batch size 6 exceeds max_batch_size 4"),
        ({"profiles": (3,)}, "profile 3 is to be served, the engine has 1, counted from 0"),
        ({"max_queue_size": 0}, "max_queue_size must be a whole number from 1, got 0"),
        ({"instances": 1.5}, "instances must be a whole number from 1, got 1.5"),
        ({"instances": "1"}, "instances must be a whole number from 1, got '1'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, settings: dict[str, int], said: str) -> None:
    engine = saved(tmp_path, as_tensorrt(built()))
    with pytest.raises(ConfigError, match=said):
        export_model([engine], tmp_path / "models", name="asr", settings=TritonSettings(**settings))


def test_engines_that_are_not_of_one_model_are_refused(tmp_path: Path) -> None:
    mine = saved(tmp_path, as_tensorrt(built()))
    twin = saved(tmp_path, as_tensorrt(built()), "twin.engine")
    other = saved(tmp_path, as_tensorrt(built(wide=True), "8.6"), "other.engine")
    with pytest.raises(ConfigError, match=r"are both for compute capability 9\.0"):
        export_model([mine, twin], tmp_path / "models", name="asr")
    later = as_tensorrt(built(), "8.6")
    later = Engine(later.plan, dataclasses.replace(later.manifest, library_version="10.1.0"))
    with pytest.raises(
        ConfigError, match=r"later\.engine was built by tensorrt 10\.1\.0, .* by tensorrt 8\.6\.0"
    ):
        export_model([mine, saved(tmp_path, later, "later.engine")], tmp_path / "models", name="asr")
    with pytest.raises(ConfigError, match="version must be 1 or more, and of 18 digits at most"):
        export_model([mine], tmp_path / "models", name="asr", version=10**18)
    wider = saved(tmp_path, as_tensorrt(built(), "8.9", "9.0"), "wider.engine")
    with pytest.raises(ConfigError, match=r"wider.engine and .* are both for compute capability 9\.0\n"):
        export_model([mine, wider], tmp_path / "models", name="asr")
    plus = [saved(tmp_path, as_tensorrt(built(), f"{each}+"), f"{each}.engine") for each in ("8.0", "8.9")]
    with pytest.raises(ConfigError, match=r"would both be the default, model\.plan"):
        export_model(plus, tmp_path / "models", name="asr")
    with pytest.raises(ConfigError, match="differ in network, tensors or profiles"):
        export_model([mine, other], tmp_path / "models", name="asr")
    with pytest.raises(ConfigError, match=r"a model's name must be letters, digits, .* got '\.\./asr'"):
        export_model([mine], tmp_path / "models", name="../asr")


def test_the_command_writes_checks_and_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, models = saved(tmp_path, as_tensorrt(built())), tmp_path / "models"
    assert main(["export-triton", str(engine), "-o", str(models), "--max-queue-size", "16"]) == 0
    assert "1 of 1 models can be served" in capsys.readouterr().out
    config = models / "asr/config.pbtxt"
    assert "max_queue_size: 16" in config.read_text()
    config.write_text(config.read_text().replace("max_batch_size: 4", "max_batch_size: -1"))
    assert main(["export-triton", "--check", str(models)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "triton max-batch-size max_batch_size is -1, below 0" in out
    assert "0 of 1 models can be served" in out
    assert main(["export-triton", str(engine)]) == 2
    assert "give either engines and --output, or --check alone" in capsys.readouterr().err
