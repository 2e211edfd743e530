"""The other end of a worker: starts it, asks it, and says what went wrong in it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trtforge._closing import Closing
from trtforge.errors import ExecutionError

_PACKAGE = Path(__file__).parents[1]
# What a request is called in a sentence, where it is no verb.
_VERBS = {
    "about": "be imported",
    "settle": "be warmed up",
    "singles": "be timed",
    "burst": "be timed",
    "prepare": "take its input",
}


class WorkerProcess(Closing):
    """A worker of one library, in an interpreter of its own.

    Parameters
    ----------
    library : ``torch``, ``onnxruntime`` or ``tensorrt``.
    python : the interpreter; this one's by default. It must have the library and NumPy, and is told where
        trtforge lies.
    paths : folders that it looks for modules in, besides.
    timeout_s : most time that one answer may take, in seconds.
    """

    def __init__(
        self,
        library: str,
        *,
        python: str | None = None,
        paths: Sequence[str] = (),
        timeout_s: float = 1800.0,
    ) -> None:
        self._library, self._timeout_s = library, timeout_s
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed below
        # A folder that holds trtforge alone: what lies beside it belongs to this interpreter.
        self._home = tempfile.TemporaryDirectory(prefix="trtforge-bench-")
        (Path(self._home.name) / "trtforge").symlink_to(_PACKAGE, target_is_directory=True)
        folders = [self._home.name, *paths]
        if python is None and os.environ.get("PYTHONPATH"):
            folders.append(os.environ["PYTHONPATH"])
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                [python or sys.executable, "-m", "trtforge.bench.worker", library],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                text=True,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
            )
        except OSError as error:
            self._said.close()
            self._home.cleanup()
            raise ExecutionError(
                f"the interpreter {python or sys.executable} does not start: {error}",
                hint="give the path of a Python that has the library",
                settings=("pythons",),
            ) from error
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises
        ------
        ExecutionError : the worker could not do it, ended, or took too long; it is then of no more use if it
            ended or took too long.
        """
        assert self._process.stdin is not None  # noqa: S101 - narrows the type
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError:  # it ended; the answer says so
            pass
        try:
            line = self._answers.get(timeout=self._timeout_s)
        except queue.Empty:
            self._process.kill()
            raise ExecutionError(
                f"{self._library} did not answer within {self._timeout_s:g} s, asked to {do}"
            ) from None
        if not line:
            self._answers.put("")  # for whoever asks again
            status = self._process.wait()
            raise ExecutionError(
                f"the {self._library} worker ended with status {status}: {self._last_words()}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ExecutionError(
                f"{self._library} cannot {_VERBS.get(do, do)}: {answer['kind']}: {answer['error']}"
            )
        found: dict[str, Any] = answer["ok"]
        return found

    def close(self) -> None:
        """End the worker; closing twice does nothing."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except OSError:
                self._process.kill()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
        self._home.cleanup()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - narrows the type
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        return lines[-1] if lines else "it said nothing"
