"""What the command line asks of the builder."""

import argparse
import importlib
import threading

import pytest

from tests.bundled import MODEL
from trtforge.cli import main
from trtforge.cli._build_options import OPTIONS, add_builder_options, build_config
from trtforge.engine import BuildConfig
from trtforge.nvidia import interruption
from trtforge.nvidia.options import BY_FIELD
from trtforge.nvidia.plugins import Plugin
from trtforge.precisions import PRECISIONS
from trtforge.report.formatting import precision_name


def parse(*words):
    parser = argparse.ArgumentParser()
    add_builder_options(parser)
    return parser.parse_args(words)


def test_nothing_asked_is_the_default():
    assert build_config(parse()) == BuildConfig()


@pytest.mark.parametrize(("command", "more"), [("build", ()), ("compile", ("fastest",))])
def test_every_precision_of_the_library_is_one_of_the_command(command, more):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"trtforge.cli.{command}").add_arguments(parser)
    (choices,) = [action.choices for action in parser._actions if action.dest == "precision"]
    assert choices == (*PRECISIONS, *more)
    assert [BuildConfig(precision=name).precision for name in PRECISIONS] == list(PRECISIONS)
    assert set(PRECISIONS).isdisjoint(map(precision_name, PRECISIONS))


def test_every_option_has_its_word():
    words = [
        "--optimization-level",
        "1",
        "--workspace",
        "4GiB",
        "--memory-pool",
        "tactic_dram=1MB",
        "--sparsity",
    ]
    words += ["--timing-cache", "--no-tf32", "--tactic-source", "cudnn", "--tactic-source", "cublas"]
    words += ["--refit", "identical", "--strip-weights", "--weight-streaming", "--strongly-typed"]
    words += ["--prefer-float16", "--direct-io"]
    words += ["--version-compatible", "--exclude-lean-runtime", "--hardware-compatibility", "ampere_plus"]
    words += ["--compute-capability", "8.9", "--plugin", "/lib/a.so", "--plugin", f"/lib/b.so@{'a' * 64}"]
    words += ["--require-precision", "--aux-streams", "0", "--profiling-verbosity", "none"]
    words += ["--preview-feature", "profile_sharing_0806", "--preview-feature", "aliased_plugin_io_10_03=off"]
    config = build_config(parse(*words), precision="float16")
    assert config == BuildConfig(
        precision="float16",
        optimization_level=1,
        workspace_bytes=4 << 30,
        memory_pools={"tactic_dram": 10**6},
        timing_cache=True,
        sparsity=True,
        tf32=False,
        tactic_sources=("cudnn", "cublas"),
        refit="identical",
        strip_weights=True,
        weight_streaming=True,
        strongly_typed=True,
        prefer_float16=True,
        direct_io=True,
        version_compatible=True,
        exclude_lean_runtime=True,
        hardware_compatibility="ampere_plus",
        compute_capabilities=("8.9",),
        plugins=(Plugin("/lib/a.so"), Plugin("/lib/b.so", "a" * 64)),
        aux_streams=0,
        require_precision=True,
        profiling_verbosity="none",
        preview_features={"profile_sharing_0806": True, "aliased_plugin_io_10_03": False},
    )
    assert set(config.asked()) == set(BY_FIELD)
    assert build_config(parse("--timing-cache", "file")).timing_cache == "file"


def test_words_stand_for_settings():
    usage = argparse.ArgumentParser()
    add_builder_options(usage)
    text = usage.format_help()
    for name in BY_FIELD:
        (word,) = OPTIONS.get(name, (f"--{name.replace('_', '-')}",))
        assert f"{word} " in text or f"{word}]" in text, name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--memory-pool", "tactic_dram"), "'tactic_dram' is no NAME=SIZE"),
        (("--preview-feature", "x=maybe"), "'x=maybe' is no NAME, NAME=on or NAME=off"),
        (("--workspace", "lots"), "'lots' is no size"),
    ],
)
def test_words_that_are_none_are_refused(capsys, words, message):
    with pytest.raises(SystemExit):
        parse(*words)
    assert message in capsys.readouterr().err


def test_what_a_library_lacks_names_the_option(capsys, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    words = ["build", str(MODEL), "-o", str(tmp_path / "x.engine"), "--frames", "100", "200"]
    assert main([*words, "--flavor", "tensorrt_rtx", "--timing-cache"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "timing_cache: tensorrt_rtx" in error
    assert "has no such option, TensorRT 8.6 and TensorRT 10 and TensorRT 11 have" in error
    assert "option timing_cache: --timing-cache" in error
    assert main([*words, "--flavor", "tensorrt_rtx", "--strip-weights"]) == 2
    assert "option refit: --refit" in " ".join(capsys.readouterr().err.split())


def test_an_engine_never_takes_the_place_of_its_network(capsys, tmp_path):
    network = tmp_path / "net.onnx"
    network.write_bytes(MODEL.read_bytes())
    (tmp_path / "link.engine").symlink_to(network)
    for output in (network, tmp_path / "link.engine"):
        assert main(["build", str(network), "-o", str(output), "--frames", "100", "200"]) == 2
        assert f"MODEL and --output are one file, {output}" in " ".join(capsys.readouterr().err.split())
    assert network.read_bytes() == MODEL.read_bytes()


def test_an_interrupted_process_leaves_at_once_where_a_library_still_works(capsys, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    left = []
    monkeypatch.setattr("trtforge.model.load_model", interrupted)
    monkeypatch.setattr("os._exit", left.append)
    words = ["build", str(MODEL), "-o", str(tmp_path / "x.engine")]
    assert main(words) == 130
    assert left == []
    still = threading.Event()
    monkeypatch.setattr(interruption, "_abandoned", [still])
    assert main(words) == 130
    assert left == [130]
    still.set()
    assert main(words) == 130
    assert left == [130]
    assert "interrupted; every file is whole" in capsys.readouterr().err


def test_a_build_says_what_the_engine_does_not_run_on(capsys, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    words = ["build", str(MODEL), "-o", str(tmp_path / "x.engine"), "--frames", "100", "200"]
    assert main([*words, "--flavor", "tensorrt_rtx"]) == 0
    assert "not on 7.0 (V100), 7.5 (T4, RTX 20), 9.0 (H100, H200)" in " ".join(
        capsys.readouterr().out.split()
    )
