import http.client
import io
import json
import socket
import threading
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from tests.serving.serving_models import doubler
from trtforge.errors import ConfigError, InputError
from trtforge.serving import Worker
from trtforge.serving.array_files import read_arrays, write_arrays
from trtforge.serving.http_server import HttpServer, Request, Response
from trtforge.serving.metrics import NullSink, PrometheusSink
from trtforge.serving.service import Service

BODY = write_arrays({"x": np.ones((2, 5), np.float32)})


@pytest.fixture(scope="module")
def port():
    sink = PrometheusSink()
    with Worker("p", doubler(sink=sink), sink=sink) as worker:
        server = HttpServer(Service([worker], sink), ("127.0.0.1", 0), max_body_bytes=1000)
        server.start()
        yield server.address[1]
        server.close()


@pytest.fixture
def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def ask(method, path, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    yield ask
    connection.close()


def exchange(port, sent):
    """Send bytes, and return all that comes until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as raw, suppress(TimeoutError):
        raw.sendall(sent)
        answer = b""
        while part := raw.recv(1000):
            answer += part
    return answer


def error(body):
    return json.loads(body)["error"]


def test_arrays_go_in_and_come_out_over_one_connection(ask):
    for _ in range(3):
        status, headers, body = ask("POST", "/v1/run", BODY, X_Trtforge_Priority="interactive")
        assert (status, headers["X-Trtforge-Tier"], headers["X-Trtforge-Model"]) == (200, "full", "double")
        np.testing.assert_array_equal(read_arrays(body)["y"][:, :5], np.full((2, 5), 2.0))


def test_pages_tell_life_readiness_state_and_metrics(ask):
    assert ask("GET", "/live")[0] == 200
    status, _, body = ask("GET", "/ready")
    assert (status, json.loads(body)) == (200, {"ready": True, "pipelines": {"p": "ready"}})
    told = json.loads(ask("GET", "/status")[2])["p"]
    assert (told["tier"], told["waiting"]) == ("full", {"interactive": 0, "standard": 0, "batch": 0})
    status, headers, body = ask("GET", "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b'trtforge_ready{pipeline="p"} 1.0' in body


@pytest.mark.parametrize(
    ("given", "status", "code", "message"),
    [
        (("POST", "/v1/run", b"no zip"), 400, "input", "the body is no .npz file of arrays"),
        (("POST", "/v1/run", write_arrays({"z": np.ones(1)})), 400, "input", "got ['z']"),
        (("POST", "/v1/transcribe", b"x"), 404, "no_such_path", "pipeline 'p' has no transcribe"),
        (("POST", "/v1/other/run", BODY), 404, "no_such_pipeline", "name one of ['p'], as in /v1/NAME/run"),
        (("GET", "/nothing"), 404, "no_such_path", 'there is no "/nothing"'),
        (("GET", "/v1/run"), 405, "method_not_allowed", "/v1/run takes POST, not GET"),
        (("POST", "/ready", b"x"), 405, "method_not_allowed", "/ready takes GET, not POST"),
        (("PUT", "/v1/run", BODY), 501, "http", "Unsupported method ('PUT')"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(ask, given, status, code, message):
    found, _, body = ask(*given)
    assert found == status
    assert error(body)["code"] == code
    assert message in error(body)["message"]
    assert error(body)["retryable"] is False


def test_headers_are_checked(ask):
    status, _, body = ask("POST", "/v1/run", BODY, X_Trtforge_Priority="urgent")
    assert (status, error(body)["code"]) == (400, "config")
    status, _, body = ask("POST", "/v1/run", BODY, X_Trtforge_Deadline_Ms="soon")
    assert error(body)["message"] == "X-Trtforge-Deadline-Ms must be 1 to 86400000 milliseconds, got 'soon'"
    for odd in ("\u00b2", "0", "-5", "NaN", "1.5", "9" * 5000):
        status, _, body = ask("POST", "/v1/run", BODY, X_Trtforge_Deadline_Ms=odd)
        assert (status, error(body)["code"]) == (400, "input")
    assert ask("POST", "/v1/run", BODY, X_Trtforge_Deadline_Ms=" 2000 ")[0] == 200
    status, _, body = ask("POST", "/v1/run", BODY, X_Trtforge_Accept_Lighter="maybe")
    assert error(body)["message"] == "X-Trtforge-Accept-Lighter must be yes or no, got 'maybe'"


def test_a_header_that_comes_twice_is_refused_rather_than_one_of_the_two_taken(port):
    twice = b"X-Trtforge-Priority: batch\r\nX-Trtforge-Priority: interactive\r\nContent-Length: 0\r\n"
    assert b"got 'batch, interactive'" in exchange(port, b"POST /v1/run HTTP/1.1\r\n" + twice + b"\r\n")
    lengths = b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"
    answer = exchange(port, b"POST /v1/run HTTP/1.1\r\n" + lengths)
    assert answer.startswith(b"HTTP/1.1 411 ")


def test_head_is_answered_without_a_body(ask):
    for _ in range(2):  # over one connection, where bytes of a body would be taken for the next answer
        status, headers, body = ask("HEAD", "/ready")
        assert (status, headers["Content-Length"], body) == (200, "45", b"")


def test_a_body_that_is_cut_short_is_told(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(b"POST /v1/run HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        raw.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: raw.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"the body ended after 3 of 10 bytes" in answer


def test_who_sends_a_byte_now_and_then_is_cut_off(port, monkeypatch):
    monkeypatch.setattr("trtforge.serving.http_server._ARRIVAL_SECONDS", 0.5)
    for head, told in (
        (b"GET /live HTTP/1.1\r\nX: ", b""),
        (b"POST /v1/run HTTP/1.1\r\nContent-Length: 99\r\n\r\n", b"408"),
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            begun = time.monotonic()
            raw.sendall(head)
            raw.settimeout(0.05)
            answer = b""
            while time.monotonic() < begun + 5:
                with suppress(TimeoutError):
                    answer = raw.recv(1000)
                    break
                raw.sendall(b"a")
            assert 0.4 < time.monotonic() - begun < 3
            assert told in answer[:20]
            assert bool(answer) == bool(told)


def test_whatever_is_refused_before_a_worker_sees_it_is_counted():
    sink = PrometheusSink()
    with Worker("p", doubler(sink=sink), sink=sink) as worker:
        service = Service([worker], sink)
        for headers, body in (({}, b"no zip"), ({"x-trtforge-priority": "urgent"}, BODY)):
            assert service(Request("POST", "/v1/run", headers, body)).status == 400
    labels = {"pipeline": "p", "tier": "full", "outcome": "invalid"}
    assert sink.registry.get_sample_value("trtforge_requests_total", labels) == 2


def test_a_body_that_is_not_read_is_never_taken_for_a_request(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        hidden = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
        head = f"GET /live HTTP/1.1\r\nHost: x\r\nContent-Length: {len(hidden)}\r\n\r\n"
        raw.sendall(head.encode() + hidden)
        answers = b""
        while part := raw.recv(1000):
            answers += part
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1") == 1
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(
            b"POST /v1/run HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 411 ")


def test_bodies_are_bounded(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/v1/run", bytes(1001))
    answer = connection.getresponse()
    assert answer.status == 413
    assert error(answer.read())["message"] == "the body has 1001 bytes, at most 1000 are read"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(b"POST /v1/run HTTP/1.1\r\nHost: x\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 411 ")
    assert exchange(port, b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n").startswith(
        b"HTTP/1.1 411 "
    )


def test_connections_are_bounded():
    server = HttpServer(lambda request: Response(200, b"{}"), ("127.0.0.1", 0), max_connections=1)
    server.start()
    with socket.create_connection(server.address, timeout=10) as first:
        first.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert first.recv(100).startswith(b"HTTP/1.1 200 ")
        with socket.create_connection(server.address, timeout=10) as second:
            assert second.recv(100).startswith(b"HTTP/1.1 503 ")
    server.close()


def test_bodies_are_bounded_together_by_what_has_arrived():
    release = threading.Event()

    def respond(request):
        release.wait(10)
        return Response(200, b"{}")

    server = HttpServer(respond, ("127.0.0.1", 0), max_held_bytes=3_000_000)
    server.start()
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    with socket.create_connection(server.address, timeout=10) as idle:
        idle.sendall(post)  # what is only announced takes no room
        with socket.create_connection(server.address, timeout=10) as first:
            first.sendall(post + bytes(2_000_000))
            time.sleep(0.3)
            with socket.create_connection(server.address, timeout=10) as second:
                second.sendall(post + bytes(1_100_000))
                refused = second.recv(1000)
            release.set()
            assert first.recv(100).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.3)
        head, _, told = refused.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1" in head
        assert error(told) | {"hint": None} == {
            "code": "unavailable",
            "message": "the requests under way fill the memory set aside for them",
            "hint": None,
            "retryable": True,
        }
        idle.sendall(bytes(2_000_000))  # there is room again
        assert idle.recv(100).startswith(b"HTTP/1.1 200 ")
    server.close()


def test_an_answer_that_is_under_way_leaves_before_the_end():
    size, asked = 30_000_000, threading.Event()

    def respond(request):
        asked.set()
        return Response(200, bytes(size))

    server = HttpServer(respond, ("127.0.0.1", 0))
    server.start()
    with socket.create_connection(server.address, timeout=10) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(5)
        closing = threading.Thread(target=server.close)
        closing.start()
        time.sleep(0.5)
        assert closing.is_alive()
        count = 0
        while count < size:
            part = slow.recv(1 << 20)
            assert part
            count += len(part)
        closing.join(5)
        assert not closing.is_alive()


def test_the_end_does_not_wait_for_who_reads_nothing():
    asked = threading.Event()

    def respond(request):
        asked.set()
        return Response(200, bytes(30_000_000))

    server = HttpServer(respond, ("127.0.0.1", 0))
    server.start()
    with socket.create_connection(server.address, timeout=10) as deaf:
        deaf.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asked.wait(5)
        begin = time.monotonic()
        server.close(timeout=0.2)
        assert time.monotonic() - begin < 2


def test_it_listens_on_ipv6_where_the_address_is_such_a_one():
    try:
        server = HttpServer(lambda request: Response(200, b"{}"), ("::1", 0))
    except OSError as missing:
        pytest.skip(f"no IPv6 here: {missing}")
    server.start()
    with socket.create_connection(server.address, timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert server.address[0] == "::1"
    server.close()


def test_where_no_thread_can_start_the_connection_is_refused_and_its_place_given_back():
    server = HttpServer(lambda request: Response(200, b"{}"), ("127.0.0.1", 0), max_connections=1)
    server.start()
    usual = threading.stack_size(2**62)  # no machine has room for such a stack
    try:
        for _ in range(2):
            with socket.create_connection(server.address, timeout=10) as refused:
                assert refused.recv(100).startswith(b"HTTP/1.1 503 ")
    finally:
        threading.stack_size(usual)
    with socket.create_connection(server.address, timeout=10) as served:
        served.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert served.recv(100).startswith(b"HTTP/1.1 200 ")
    server.close()


def test_what_fails_unforeseen_is_answered_too():
    def fail(request):
        raise ZeroDivisionError("division by zero")

    server = HttpServer(fail, ("127.0.0.1", 0))
    server.start()
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert (answer.status, error(answer.read())["message"]) == (500, "ZeroDivisionError: division by zero")
    connection.close()
    server.close()


def test_array_files_that_lie_are_refused():
    with pytest.raises(InputError, match="at most 16 of 268435456 are read"):
        read_arrays(write_arrays({f"a{index}": np.ones(1) for index in range(17)}))
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ones(4, np.float32))
    lying = stream.getvalue().replace(b"(4,)", b"(9,)")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.npy", lying)
    with pytest.raises(InputError, match=r"an array of float32 \[9\] cannot be 16 bytes"):
        read_arrays(packed.getvalue())
    packed = io.BytesIO()
    np.savez(packed, x=np.array([{}], object))
    with pytest.raises(InputError, match="an array of object"):
        read_arrays(packed.getvalue())


def test_a_zip_bomb_is_not_unpacked():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(300 * 2**20))
    assert len(packed.getvalue()) < 2**20
    with pytest.raises(InputError, match="1 arrays of 314572800 bytes"):
        read_arrays(packed.getvalue())


def test_arrays_keep_their_order_and_names():
    given = {"file": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "n": np.int64(3)}
    found = read_arrays(write_arrays(given))
    np.testing.assert_array_equal(found["file"], given["file"])
    assert found["n"] == 3


def test_several_workers_drain_together_within_one_timeout():
    release = threading.Event()
    armed = threading.Event()

    def before(rows):
        if armed.is_set():
            release.wait(10)

    workers = [Worker(name, doubler(before=before, max_rows=1), deadline=30) for name in ("a", "b", "c")]
    for worker in workers:
        worker.start()
    armed.set()
    taken = [worker.submit({"x": np.ones((2, 5), np.float32)}) for worker in workers for _ in range(4)]
    service = Service(workers, NullSink())
    begin = time.monotonic()
    assert not service.drain(0.5)
    assert time.monotonic() - begin < 1.2
    release.set()
    assert [future.exception(5) is None for future in taken].count(True) == 6  # two of each were begun
    for worker in workers:
        worker.close()


def test_workers_need_names_of_their_own():
    with pytest.raises(ConfigError, match="workers need different names, got "):
        Service([], NullSink())
