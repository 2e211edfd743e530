"""A real Prometheus, where it is installed, that scrapes one page."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

import pytest

CONFIG = """\
global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 1s}}
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: trtforge
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path, **arguments):
        url = f"{self.url}{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own address
            return json.load(answer)["data"]

    def value(self, expression):
        """Return the one value of an instant query, None where there is no series."""
        found = self.get("/api/v1/query", query=expression)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def wait_for(self, expression, value, seconds=15):
        end = time.monotonic() + seconds
        while (found := self.value(expression)) != value:
            assert time.monotonic() < end, f"{expression} is {found}, not {value}"
            time.sleep(0.1)


@contextmanager
def prometheus(folder, scraped_port):
    """Run a Prometheus in a folder that holds ``alerts.yaml``; skip where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed")
    port = free_port()
    (folder / "prometheus.yaml").write_text(CONFIG.format(port=scraped_port))
    command = [
        *(program, "--config.file=prometheus.yaml", "--storage.tsdb.path=data"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"),
    ]
    process = subprocess.Popen(command, cwd=folder)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1)
                break
            except OSError:
                assert time.monotonic() < end, "Prometheus did not start"
                time.sleep(0.1)
        yield Prometheus(port)
    finally:
        process.terminate()
        process.wait(20)
