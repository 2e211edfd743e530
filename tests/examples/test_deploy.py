"""The files for deployment are such as the tools that read them accept."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundled import ROOT

DEPLOY = ROOT / "examples/deploy"


def check_schema(schema: str, path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_follows_the_specification() -> None:
    check_schema("vendor.compose-spec", DEPLOY / "compose.yaml")


def test_the_workflow_follows_its_schema() -> None:
    check_schema("vendor.github-workflows", DEPLOY / "github-actions.yml")


@pytest.mark.parametrize("name", ["Dockerfile.serve", "Dockerfile.triton"])
def test_hadolint_finds_nothing(name: str) -> None:
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([program, "--format", "json", DEPLOY / name], capture_output=True, text=True)
    assert json.loads(done.stdout) == []


def test_promtool_accepts_what_is_scraped() -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [program, "check", "config", DEPLOY / "prometheus/prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


@pytest.mark.parametrize("name", ["Dockerfile.serve", "Dockerfile.triton"])
def test_images_are_pinned_and_what_they_copy_is_here_or_made(name: str) -> None:
    parse = pytest.importorskip("dockerfile_parse")
    with (DEPLOY / name).open("rb") as file:
        parser = parse.DockerfileParser(fileobj=file)
        base, lines = parser.baseimage, parser.structure
    assert re.fullmatch(r"[\w./-]+:\d+(\.\d+)+[\w.-]*", base)
    made = {"constraints.txt", "trtforge.lock.json", "asr.engine", "asr.engine.json", "asr.onnx", "models"}
    copied = [line["value"].split()[:-1] for line in lines if line["instruction"] == "COPY"]
    assert copied
    for source in (word for words in copied for word in words):
        assert source in made or (DEPLOY / source).is_file()


def test_compose_pins_images_and_names_files_that_are_here() -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(services) == {"serve", "triton", "prometheus", "grafana"}
    for service in services.values():
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        for volume in service.get("volumes", []):
            assert (DEPLOY / volume.split(":")[0]).is_dir()
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        if "build" in service:
            assert (DEPLOY / service["build"]["dockerfile"]).is_file()
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for config in job["static_configs"] for target in config["targets"]]
    assert {target.split(":")[0] for target in targets} == {"serve", "triton"}
