import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundled import MODEL, TEST_SET, some_clips
from trtforge.cli import main
from trtforge.cli.serve import _by_name
from trtforge.errors import ConfigError

START = [
    "serve",
    f"asr={MODEL}",
    "--port",
    "0",
    "--max-batch",
    "1",
    "--max-frames",
    "800",
    "--deadline",
    "30",
]


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_the_command_serves_transcripts_until_it_is_told_to_end():
    command = [sys.executable, "-m", "trtforge", *START, "--num-threads", "1", "--deadline", "30"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        lines = []
        while not (match := re.search(r"http://127\.0\.0\.1:(\d+)", lines[-1] if lines else "")):
            lines.append(process.stdout.readline())
            assert lines[-1], "it ended"
        port = int(match[1])
        clip = next(iter(some_clips(TEST_SET, 1)))
        status, content = ask(port, "POST", "/v1/transcribe", (TEST_SET / clip.path).read_bytes())
        answer = json.loads(content)
        assert (status, answer["tier"], answer["model"]) == (200, "full", "asr_en")
        assert len(answer["text"].split()) > 2
        assert 0 <= answer["queue_seconds"] < answer["seconds"]
        assert (
            b'trtforge_requests_total{outcome="ok",pipeline="asr",tier="full"} 1.0'
            in ask(port, "GET", "/metrics")[1]
        )
        assert json.loads(ask(port, "GET", "/status")[1])["asr"]["tier"] == "full"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_model_that_is_not_there_is_told(capfd, tmp_path):
    assert main(["serve", str(tmp_path / "nothing.onnx"), "--port", "0"]) == 2
    said = capfd.readouterr()
    assert "nothing.onnx" in said.err
    assert "the worker refused its settings" in said.err
    assert "✓" not in said.out


def test_it_serves_on_ipv6_and_tells_the_address_as_urls_have_it():
    command = [sys.executable, "-m", "trtforge", *START, "--host", "::1", "--num-threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            found = next(
                (match for line in process.stdout if (match := re.search(r"http://(\S+)", line))), None
            )
            if found is None and "cannot listen" in process.stderr.read():
                pytest.skip("no IPv6 here")
            assert re.fullmatch(r"\[::1\]:\d+", found[1])
        finally:
            process.send_signal(signal.SIGTERM)


def test_a_setting_out_of_range_is_told_with_its_option_and_nothing_is_started(capsys):
    assert main(["serve", "a=x.onnx", "--max-batch", "0"]) == 2
    said = capsys.readouterr()
    assert "max_batch must be 1 or more, got 0" in said.err
    assert "option max_batch: --max-batch" in said.err
    assert main(["serve", "a=x.onnx", "--deadline", "-1"]) == 2
    assert "deadline must be positive, got -1.0" in capsys.readouterr().err


def test_an_address_that_is_taken_is_told(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "a=x.onnx", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "option port: --port" in said


def test_an_address_that_is_none_is_told_as_it_was_given(capsys):
    assert main(["serve", "a=x.onnx", "--port", "-1"]) == 2
    assert "cannot listen on 127.0.0.1:-1: " in capsys.readouterr().err


def test_words_that_name_no_model_are_refused():
    for word in ("", "a="):
        with pytest.raises(ConfigError, match=f"'{word}' names no model"):
            _by_name([word])
    assert _by_name(["/data/a=b/x.onnx"]) == {"x": "/data/a=b/x.onnx"}


def test_told_to_end_while_it_loads_it_ends_at_once(tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text("import time\n\ndef make(settings, on_lost):\n    time.sleep(60)\n")
    command = [sys.executable, "-m", "trtforge.serving.child", "--socket", str(tmp_path / "s")]
    paths = os.pathsep.join([str(tmp_path), *(path or str(Path.cwd()) for path in sys.path)])
    process = subprocess.Popen(
        [*command, "--factory", "slow:make", "--settings", "{}"], env={**os.environ, "PYTHONPATH": paths}
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    process.terminate()
    assert process.wait(5) == -signal.SIGTERM


def test_models_are_called_by_their_files_or_as_was_said():
    assert _by_name(["a=x/full.onnx", "y/other.engine"]) == {"a": "x/full.onnx", "other": "y/other.engine"}
    assert _by_name(["small.onnx"], {"asr": "full.onnx"}) == {"asr": "small.onnx"}
    with pytest.raises(ConfigError, match="pipeline 'a' was named twice"):
        _by_name(["a=x", "a=y"])


def test_a_lighter_model_of_no_pipeline_is_refused(capsys):
    assert main(["serve", "a=x.onnx", "b=y.onnx", "--lighter", "c=z.onnx"]) == 2
    assert "no model was given for ['c']; there are ['a', 'b']" in capsys.readouterr().err
