"""Run Python in processes of its own, as faults that end a process need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# An engine without a library, of any content, and the key that it is kept under.
PRELUDE = """
import dataclasses, os, signal, sys, time, warnings
from pathlib import Path
from trtforge._files import sha256
from trtforge.engine import Engine, EngineStore, Manifest

def engine(plan):
    return Engine(plan, Manifest(
        library="tensorrt", library_version="8.6.0", compute_capabilities=("9.0",), gpu=None, driver=None,
        system="Linux x86_64", precision="float32", options={}, profiles=(), inputs=(), outputs=(),
        layer_precisions=None, onnx_sha256="a" * 64, scales_sha256=None, build_seconds=1.0,
        trtforge_version="0.1.0", plan_sha256=sha256(plan), plan_bytes=len(plan),
    ))

KEY = "c" * 64
"""


def python(code: str, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the prelude and ``code`` in a new process; its ``sys.argv[1:]`` are the arguments."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
