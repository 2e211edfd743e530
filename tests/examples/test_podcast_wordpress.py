"""The WordPress client, against a server on this machine that answers as WordPress does."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("requests")
pytest.importorskip("msgspec")

from examples.podcast.episode import FORMAT, Episode
from examples.podcast.records import Chapter, Keyword, Mood, Segment, Source, Summary
from examples.podcast.wordpress import WordPress, WordPressError
from trtforge.errors import ConfigError


class Site(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posts: list[dict[str, Any]] = []
        self.media: list[tuple[str, bytes]] = []
        self.tags = {"TensorRT": 7}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def answer(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def is_known(self) -> bool:
        given = base64.b64decode(self.headers["Authorization"].partition(" ")[2]).decode()
        if given != "ada:abcd efgh":
            self.answer({"code": "incorrect_password", "message": "The password is wrong."}, 401)
        return given == "ada:abcd efgh"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if not self.is_known():
            return
        if "slug" in query:
            found = [post for post in self.server.posts if [post["slug"]] == query["slug"]]
            self.answer([{"id": 5, "link": f"{self.server.address}/?p=5"} for _ in found])
            return
        wanted = query["search"][0].lower()
        self.answer(
            [{"id": i, "name": name} for name, i in self.server.tags.items() if wanted in name.lower()]
        )

    def do_POST(self) -> None:
        body = self.body()
        if not self.is_known():
            return
        if self.path.endswith("/media"):
            self.server.media.append((self.headers["Content-Disposition"], body))
            self.answer({"id": 3, "source_url": f"{self.server.address}/uploads/a.mp3"}, 201)
        elif self.path.endswith("/tags"):
            name = json.loads(body)["name"]
            self.server.tags[name] = 8
            self.answer({"id": 8, "name": name}, 201)
        else:
            self.server.posts.append(json.loads(body))
            self.answer({"id": 5, "link": f"{self.server.address}/?p=5"}, 201)


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    summary = Summary("Fast <engines>", "fast-engines", "Short.", ("Short.",), ("TensorRT", "kernel"))
    episode = Episode(
        format=FORMAT,
        language="en",
        published="2026-01-31T08:00:00+00:00",
        source=Source("0" * 64, 2.0, 16000, 1, 0.5, 0.0),
        recognizer="by hand",
        summary=summary,
        keywords=(Keyword("kernel", 2, 1.0),),
        chapters=(Chapter(0.0, 2.0, "Kernel"),),
        segments=(Segment(0.0, 2.0, "Short.", ()),),
        moods=(Mood("neutral", 0.0),),
        translations=(),
    )
    (tmp_path / "episode.json").write_bytes(episode.to_json())
    (tmp_path / "fast-engines.mp3").write_bytes(b"sound" * 100)
    return tmp_path


def test_audio_tags_and_a_draft_are_made(site: Site, bundle: Path) -> None:
    post = WordPress(site.address, "ada", "abcd efgh").publish(bundle)
    assert post["link"] == f"{site.address}/?p=5"
    assert site.media == [('attachment; filename="fast-engines.mp3"', b"sound" * 100)]
    (sent,) = site.posts
    assert (sent["title"], sent["slug"], sent["status"]) == ("Fast <engines>", "fast-engines", "draft")
    assert sent["tags"] == [7, 8]
    assert f'<audio controls src="{site.address}/uploads/a.mp3">' in sent["content"]
    assert "<li>00:00 Kernel</li>" in sent["content"]


def test_a_refusal_says_what_the_site_said(site: Site, bundle: Path) -> None:
    with pytest.raises(WordPressError, match=r"GET tags: .* status 401: The password is wrong\."):
        WordPress(site.address, "ada", "wrong").publish(bundle)
    assert site.posts == []


def test_an_episode_is_sent_once(site: Site, bundle: Path) -> None:
    WordPress(site.address, "ada", "abcd efgh").publish(bundle)
    with pytest.raises(WordPressError, match=r"the site already has a post 'fast-engines': .*p=5"):
        WordPress(site.address, "ada", "abcd efgh").publish(bundle)
    assert (len(site.posts), len(site.media)) == (1, 1)


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("do_GET", {"code": "x"}, "GET tags: .* something else than a list of objects"),
        ("do_GET", ["x"], "GET tags: .* something else than a list of objects"),
        ("do_POST", {"id": 3}, "POST media: .* no object that has 'source_url'"),
        ("do_POST", [], "POST tags: .* no object that has 'id'"),
    ],
)
def test_what_answers_otherwise_than_wordpress_is_named(
    site: Site, bundle: Path, monkeypatch: pytest.MonkeyPatch, method: str, value: Any, message: str
) -> None:
    def answer(handler: Handler) -> None:
        handler.body()
        handler.answer(value)

    monkeypatch.setattr(Handler, method, answer)
    with pytest.raises(WordPressError, match=message):
        WordPress(site.address, "ada", "abcd efgh").publish(bundle)


def test_a_site_that_is_not_there_is_named(site: Site, bundle: Path) -> None:
    address = site.address
    site.server_close()
    with pytest.raises(WordPressError, match="GET tags: the site cannot be reached"):
        WordPress(address, "ada", "abcd efgh").publish(bundle)


def test_the_password_does_not_travel_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="the site must be an https address, got 'http://blog"):
        WordPress("http://blog.example", "ada", "abcd")
    with pytest.raises(ConfigError, match="user name or application password is missing"):
        WordPress("https://blog.example", "ada", "")
