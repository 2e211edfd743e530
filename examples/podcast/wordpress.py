"""Put an episode on a WordPress site, as a draft, through its REST interface.

    python -m examples.podcast.wordpress FOLDER https://example.org

User name and application password are read from the environment variables ``WORDPRESS_USER`` and
``WORDPRESS_PASSWORD``, and are written nowhere.
"""

from __future__ import annotations

import argparse
import html
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from examples.podcast.complaints import status_of
from examples.podcast.content import notes_html
from examples.podcast.episode import Episode
from trtforge.errors import ConfigError, TrtforgeError

_TIMEOUT_S = 60


class WordPressError(TrtforgeError):
    """The site refused a request, or could not be reached; what was made before it stays there as a draft."""

    code = "wordpress"


@dataclass(frozen=True)
class WordPress:
    """A site and who writes to it.

    Parameters
    ----------
    site : its address, with https; http is taken for this machine only, since the password travels along.
    user, password : an application password of WordPress, not that of the login.

    References
    ----------
    WordPress REST API Handbook: media, tags and posts of ``wp/v2``; application passwords.
    """

    site: str
    user: str
    password: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.site)
        if parts.scheme != "https" and (parts.scheme, parts.hostname) not in (
            ("http", "localhost"),
            ("http", "127.0.0.1"),
        ):
            raise ConfigError(f"the site must be an https address, got {self.site!r}", settings=("site",))
        if not self.user or not self.password:
            raise ConfigError(
                "user name or application password is missing",
                hint="set WORDPRESS_USER and WORDPRESS_PASSWORD",
            )

    def publish(self, folder: Path, *, status: str = "draft") -> dict[str, Any]:
        """Upload the audio and make a post of the show notes, unless the site has one.

        Parameters
        ----------
        folder : a bundle.
        status : ``draft``, ``pending``, ``private`` or ``publish``.

        Returns
        -------
        The post as the site describes it; ``link`` is its address.

        Raises
        ------
        WordPressError : the site has a post of this name, refused, could not be reached, or does not
            answer as WordPress does.
        """
        if status not in ("draft", "pending", "private", "publish"):
            raise ConfigError(f"status must be draft, pending, private or publish, got {status!r}")
        episode = msgspec.json.decode((folder / "episode.json").read_bytes(), type=Episode)
        audio = folder / f"{episode.summary.slug}.mp3"
        tags = [self._tag(name) for name in episode.summary.tags]
        for post in self._list("posts", slug=episode.summary.slug, status="any"):
            raise WordPressError(
                f"the site already has a post {episode.summary.slug!r}: {post.get('link', '')}",
                hint="delete it there to send the episode anew",
            )
        with audio.open("rb") as file:
            media = self._send(
                "media",
                "source_url",
                data=file,
                headers={
                    "Content-Type": "audio/mpeg",
                    "Content-Disposition": f'attachment; filename="{audio.name}"',
                },
            )
        address = html.escape(str(media["source_url"]), quote=True)
        player = f'<figure class="wp-block-audio"><audio controls src="{address}"></audio></figure>'
        return self._send(
            "posts",
            "id",
            json={
                "title": episode.summary.title,
                "slug": episode.summary.slug,
                "status": status,
                "excerpt": episode.summary.description,
                "content": f"{player}\n{notes_html(episode)}",
                "tags": tags,
            },
        )

    def _tag(self, name: str) -> int:
        """Return the id of a tag, made where there is none."""
        for tag in self._list("tags", search=name, per_page=100):
            if html.unescape(str(tag.get("name"))).lower() == name.lower() and "id" in tag:
                return int(tag["id"])
        return int(self._send("tags", "id", json={"name": name})["id"])

    def _list(self, path: str, **params: Any) -> list[dict[str, Any]]:
        answer = self._call("GET", path, params=params)
        if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
            raise WordPressError(f"GET {path}: the site answered with something else than a list of objects")
        return answer

    def _send(self, path: str, needed: str, **request: Any) -> dict[str, Any]:
        answer = self._call("POST", path, **request)
        if not isinstance(answer, dict) or needed not in answer:
            raise WordPressError(f"POST {path}: the site answered with no object that has {needed!r}")
        return answer

    def _call(self, method: str, path: str, **request: Any) -> Any:
        address = f"{self.site.rstrip('/')}/wp-json/wp/v2/{path}"
        try:
            answer = requests.request(
                method,
                address,
                auth=(self.user, self.password),
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                **request,
            )
        except requests.RequestException as error:
            raise WordPressError(f"{method} {path}: the site cannot be reached: {error}") from error
        try:
            value = answer.json()
        except requests.JSONDecodeError:
            value = None
        if not answer.ok or answer.is_redirect or value is None:
            said = value.get("message", "") if isinstance(value, dict) else ""
            raise WordPressError(
                f"{method} {path}: the site answered with status {answer.status_code}"
                + (f": {said}" if said else "")
            )
        return value


def main() -> int:
    """Upload a bundle; 2 where that failed."""
    parser = argparse.ArgumentParser(description="Put an episode on a WordPress site, as a draft.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("site", metavar="ADDRESS")
    parser.add_argument("--status", default="draft", help="draft, pending, private or publish")
    args = parser.parse_args()

    def command() -> int:
        user, password = (os.environ.get(f"WORDPRESS_{name}", "") for name in ("USER", "PASSWORD"))
        post = WordPress(args.site, user, password).publish(args.folder, status=args.status)
        print(post.get("link", ""))
        return 0

    return status_of(command)


if __name__ == "__main__":
    sys.exit(main())
