"""The files for deployment are such as the tools that read them accept."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundled import MODEL, ROOT

DEPLOY = ROOT / "examples/deploy"
DOCKERFILES = ["Dockerfile.worker", "Dockerfile.serve", "Dockerfile.triton"]
MADE_BY_COMMANDS = {"./monitoring"}


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


@pytest.mark.parametrize("name", DOCKERFILES)
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


@pytest.mark.parametrize("name", DOCKERFILES)
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
    assert set(services) == {"worker", "serve", "triton", "prometheus", "grafana"}
    for service in services.values():
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        for volume in service.get("volumes", []):
            place = volume.split(":")[0]
            assert place in MADE_BY_COMMANDS or (DEPLOY / place).is_dir()
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        if "build" in service:
            assert (DEPLOY / service["build"]["dockerfile"]).is_file()
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in scraped for config in job["static_configs"] for target in config["targets"]]
    assert {target.split(":")[0] for target in targets} == {"worker", "serve", "triton"}


def test_one_of_three_serves_by_its_profile_on_one_port() -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    by_profile = {name: each for name, each in services.items() if "profiles" in each}
    assert {name: each["profiles"] for name, each in by_profile.items()} == {
        name: [name] for name in ("worker", "serve", "triton")
    }
    assert all(each["ports"][0].startswith("127.0.0.1:8000:") for each in by_profile.values())


def test_the_command_of_the_workers_image_serves(tmp_path: Path) -> None:
    parse = pytest.importorskip("dockerfile_parse")
    with (DEPLOY / "Dockerfile.worker").open("rb") as file:
        lines = parse.DockerfileParser(fileobj=file).structure
    words = {line["instruction"]: line["value"] for line in lines}
    command = [*json.loads(words["ENTRYPOINT"]), *json.loads(words["CMD"])]
    assert command[0] == "trtforge"
    host, port = command.index("--host"), command.index("--port")
    assert (command[host + 1], command[port + 1]) == ("0.0.0.0", words["EXPOSE"])  # noqa: S104 - as it stands there
    command[host + 1], command[port + 1] = "127.0.0.1", "0"  # not the world's, nor a port that may be taken
    shutil.copy(MODEL, tmp_path / "asr.onnx")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", said)):
            said = process.stdout.readline()
            assert said, "it ended"
        check = json.loads(words["HEALTHCHECK"].partition("CMD ")[2])[2]
        ready = check.replace(f"localhost:{words['EXPOSE']}", f"127.0.0.1:{found[1]}")
        assert subprocess.run([sys.executable, "-c", ready]).returncode == 0
    finally:
        process.terminate()
        assert process.wait(40) == 0
