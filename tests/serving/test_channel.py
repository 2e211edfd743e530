import os
import socket
import threading
import time
from contextlib import suppress

import pytest

from trtforge.errors import InputError
from trtforge.serving.channel import Channels, ChannelServer
from trtforge.serving.http_server import Request, Response


@pytest.fixture
def asked(tmp_path):
    """Serve what the test's `respond` says; return the channels to it and the threads that answered."""
    threads, servers = [], []

    def serve(respond):
        def answer(request):
            threads.append(threading.current_thread().name)
            return respond(request)

        path = tmp_path / "s"
        path.unlink(missing_ok=True)
        server = ChannelServer(answer, path)
        server.start()
        servers.append(server)
        return Channels(path), threads, server

    yield serve
    for server in servers:
        server.close()


def echo(request):
    return Response(201, request.body, f"{request.method} {request.path}", dict(request.headers))


def test_a_request_and_its_response_arrive_as_they_are(asked):
    channels, _, _ = asked(echo)
    body = os.urandom(3_000_001)
    found = channels.ask(Request("POST", "/ä", {"x": "ü\n"}, body), 10)
    assert found == Response(201, body, "POST /ä", {"x": "ü\n"})


def test_requests_in_turn_take_one_connection_and_those_at_once_take_their_own(asked):
    together = threading.Barrier(2)

    def respond(request):
        together.wait(5)
        return Response(200, b"")

    channels, threads, _ = asked(respond)
    first = threading.Thread(target=channels.ask, args=(Request("GET", "/", {}, b""), 10))
    first.start()
    channels.ask(Request("GET", "/", {}, b""), 10)
    first.join()
    assert len(set(threads)) == 2
    channels, threads, _ = asked(echo)
    threads.clear()
    for _ in range(5):
        channels.ask(Request("GET", "/", {}, b""), 10)
    assert (len(threads), len(set(threads))) == (5, 1)


def test_an_answer_that_came_too_late_is_not_that_of_the_next_request(asked):
    def respond(request):
        time.sleep(0.4 if request.path == "/slow" else 0.0)
        return Response(200, request.path.encode())

    channels, threads, _ = asked(respond)
    with pytest.raises(TimeoutError):
        channels.ask(Request("GET", "/slow", {}, b""), 0.1)
    time.sleep(0.5)
    assert channels.ask(Request("GET", "/next", {}, b""), 10).body == b"/next"
    assert len(threads) == 2


def test_connections_of_a_process_that_ended_are_not_used_again(asked):
    channels, threads, _ = asked(echo)
    channels.ask(Request("GET", "/", {}, b""), 10)
    channels.drop()
    channels.ask(Request("GET", "/", {}, b""), 10)
    assert len(set(threads)) == 2

    def drop(request):
        channels.drop()
        return Response(200, b"")

    channels, threads, _ = asked(drop)  # while a request is under way
    threads.clear()
    for _ in range(2):
        channels.ask(Request("GET", "/", {}, b""), 10)
    assert len(set(threads)) == 2


def test_a_request_whose_connection_breaks_is_sent_once(tmp_path):
    arrived = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        listening.settimeout(0.3)

        def break_all():
            with suppress(TimeoutError):
                while True:
                    connected, _ = listening.accept()
                    arrived.append(connected.recv(1000))
                    connected.close()

        thread = threading.Thread(target=break_all)
        thread.start()
        with pytest.raises(ConnectionResetError, match="the other process closed the connection"):
            Channels(tmp_path / "s").ask(Request("POST", "/v1/run", {}, b"body"), 10)
        thread.join()
    assert len(arrived) == 1
    assert arrived[0].endswith(b"body")


def test_an_error_is_told_as_over_http(asked):
    def respond(request):
        raise InputError("the shape is wrong") if request.path == "/known" else ValueError("odd")

    channels, _, _ = asked(respond)
    known = channels.ask(Request("GET", "/known", {}, b""), 10)
    odd = channels.ask(Request("GET", "/odd", {}, b""), 10)
    assert (known.status, odd.status) == (500, 500)
    assert b'"code": "input", "message": "the shape is wrong"' in known.body
    assert b'"code": "internal", "message": "ValueError: odd"' in odd.body
