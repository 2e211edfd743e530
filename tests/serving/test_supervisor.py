import http.client
import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest

from trtforge.errors import ConfigError
from trtforge.serving.array_files import read_arrays, write_arrays
from trtforge.serving.http_server import HttpServer, Request
from trtforge.serving.supervisor import Supervisor

FACTORY = "tests.serving.scripted_service:make"
BODY = write_arrays({"x": np.ones((2, 5), np.float32)})


class Client:
    """Sends requests, each over a connection of its own."""

    def __init__(self, port):
        self.port = port

    def __call__(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def send_together(self, count):
        """Send requests from as many threads; return them and the list that fills with their answers."""
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(self("POST", "/v1/run", BODY)))
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        return threads, answers


@pytest.fixture
def served(tmp_path):
    supervisor = Supervisor({"folder": str(tmp_path), "seconds": 0.6}, ["p"], factory=FACTORY)
    server = HttpServer(supervisor, ("127.0.0.1", 0))
    supervisor.start()
    server.start()
    try:
        supervisor.wait_ready(30)
        yield supervisor, Client(server.address[1])
    finally:
        supervisor.close()
        server.close()


def assert_each_answered_or_refused_as_retryable(answers):
    assert {status for status, _, _ in answers} <= {200, 503}
    for status, headers, body in answers:
        if status == 503:
            assert json.loads(body)["error"]["retryable"] is True
            assert int(headers["Retry-After"]) >= 1


def num_taken(client):
    """Return how many requests run or wait."""
    told = json.loads(client("GET", "/status")[2])["p"]
    return told["running"] + sum(told["waiting"].values())


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def test_a_killed_worker_is_not_ready_within_a_second_and_serves_again(served, tmp_path):
    supervisor, client = served
    assert client("GET", "/ready")[0] == 200
    (tmp_path / "armed").touch()
    threads, answers = client.send_together(6)
    wait_until(lambda: answers, 10)  # one is answered, some run, some wait
    first = supervisor.process_id
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: client("GET", "/ready")[0] == 503, 1.0)
    assert time.monotonic() - killed < 1.0
    assert b'trtforge_ready{pipeline="p"} 0.0' in client("GET", "/metrics")[2]
    for thread in threads:
        thread.join()
    assert_each_answered_or_refused_as_retryable(answers)
    assert {status for status, _, _ in answers} == {200, 503}
    assert len(answers) == 6
    (tmp_path / "armed").unlink()
    wait_until(lambda: client("GET", "/ready")[0] == 200, 20)
    assert supervisor.process_id != first
    assert supervisor.num_restarts == 1
    assert b'trtforge_process_ends_total{reason="killed"} 1.0' in client("GET", "/metrics")[2]
    status, headers, body = client("POST", "/v1/run", BODY)
    assert (status, headers["X-Trtforge-Tier"]) == (200, "full")
    np.testing.assert_array_equal(read_arrays(body)["y"][:, :5], 2 * np.ones((2, 5)))


def test_a_sticky_error_ends_the_process_and_another_takes_over(served, tmp_path):
    supervisor, client = served
    first = supervisor.process_id
    (tmp_path / "armed").touch()
    (tmp_path / "lose").touch()
    threads, answers = client.send_together(5)
    wait_until(lambda: not (tmp_path / "lose").exists(), 5)
    lost = time.monotonic()
    wait_until(lambda: client("GET", "/ready")[0] == 503, 1.0)
    assert time.monotonic() - lost < 1.0
    for thread in threads:
        thread.join()
    assert len(answers) == 5
    assert_each_answered_or_refused_as_retryable(answers)
    codes = {json.loads(body)["error"]["code"] for status, _, body in answers if status == 503}
    assert "device_lost" in codes
    wait_until(lambda: client("GET", "/ready")[0] == 200, 20)
    assert supervisor.process_id != first
    assert client("POST", "/v1/run", BODY)[0] == 200
    page = client("GET", "/metrics")[2].decode()
    assert 'trtforge_process_ends_total{reason="device_lost"} 1.0' in page.splitlines()
    assert 'outcome="device_lost",pipeline="p",tier="full"} 0.0' in page  # it died with what counted it


def test_a_process_that_stands_still_is_killed_and_its_requests_are_refused(tmp_path):
    supervisor = Supervisor({"folder": str(tmp_path)}, ["p"], factory=FACTORY, hang_seconds=1.0)
    server = HttpServer(supervisor, ("127.0.0.1", 0))
    supervisor.start()
    server.start()
    client = Client(server.address[1])
    try:
        supervisor.wait_ready(30)
        os.kill(supervisor.process_id, signal.SIGSTOP)
        threads, answers = client.send_together(2)
        for thread in threads:
            thread.join(20)
        assert [status for status, _, _ in answers] == [503, 503]
        assert_each_answered_or_refused_as_retryable(answers)
        supervisor.wait_ready(30)
        assert b'trtforge_process_ends_total{reason="hung"} 1.0' in client("GET", "/metrics")[2]
        assert client("POST", "/v1/run", BODY)[0] == 200
    finally:
        supervisor.close()
        server.close()


def test_what_a_path_takes_is_told_through_the_process_in_front(served):
    status, headers, _ = served[1]("GET", "/v1/run")
    assert (status, headers["Allow"]) == (405, "POST")
    status, headers, _ = served[1]("POST", "/live", b"x")
    assert (status, headers["Allow"]) == (405, "GET")


def test_closing_answers_what_was_taken(served, tmp_path):
    supervisor, client = served
    (tmp_path / "armed").touch()
    threads, answers = client.send_together(3)
    wait_until(lambda: num_taken(client) == 3, 10)
    supervisor.close()
    for thread in threads:
        thread.join()
    assert [status for status, _, _ in answers] == [200, 200, 200], answers
    assert client("POST", "/v1/run", BODY)[0] == 503


def test_a_folder_that_was_tidied_away_is_made_anew_for_the_next_process(served):
    supervisor, client = served
    shutil.rmtree(supervisor._socket.parent)
    assert client("POST", "/v1/run", BODY)[0] == 200  # over a connection that was kept
    os.kill(supervisor.process_id, signal.SIGKILL)
    wait_until(lambda: not supervisor.ready, 10)
    supervisor.wait_ready(30)
    assert client("POST", "/v1/run", BODY)[0] == 200


def test_settings_that_a_worker_refuses_are_told_and_not_tried_again(tmp_path, capfd):
    supervisor = Supervisor({"is_bad": True}, ["p"], factory=FACTORY)
    supervisor.start()
    try:
        with pytest.raises(ConfigError, match="the worker refused its settings"):
            supervisor.wait_ready(30)
    finally:
        supervisor.close()
    assert "error config  these settings are bad" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("corrupt", "corrupt_engine"), ("config", "settings"), ("memory", "load"), ("lost", "device_lost")],
)
def test_why_a_process_could_not_load_is_counted(tmp_path, kind, reason):
    supervisor = Supervisor({"load_error": kind}, ["p"], factory=FACTORY)
    supervisor.start()
    try:
        told = f'trtforge_process_ends_total{{reason="{reason}"}} 0.0'.encode()
        ask = Request("GET", "/metrics", {}, b"")
        assert told in supervisor(ask).body
        wait_until(lambda: told not in supervisor(ask).body, 30)
        hopeless = kind in ("corrupt", "config")
        wait_until(lambda: (supervisor.failure is not None) is hopeless, 5)
    finally:
        supervisor.close()


def test_a_folder_too_long_for_a_socket_is_told_before_anything_is_started(tmp_path, monkeypatch):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(
        ConfigError, match=r"worker.sock, has \d+ bytes; the system takes at most 107"
    ) as caught:
        Supervisor({}, ["p"])
    assert caught.value.hint == "set TMPDIR to a folder with a shorter path"


def test_times_that_are_none_are_told():
    for seconds in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="drain_seconds must be 0 or more, got"):
            Supervisor({}, ["p"], drain_seconds=seconds)
