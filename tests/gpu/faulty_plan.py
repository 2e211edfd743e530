"""Give the bytes of a file to the real library, whatever they are; the last line printed is JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from trtforge.nvidia.cuda import set_device
from trtforge.nvidia.log import listen, logger_of
from trtforge.nvidia.selection import flavor_for


def main(path: str, library: str, version: str) -> dict[str, Any]:
    """Load a plan past every check of ours, make a context of it, and say what came of it."""
    trt = flavor_for(library, version).module()
    set_device(0)
    log = listen()
    logger = logger_of(trt)
    runtime = trt.Runtime(logger)
    print("deserializing", flush=True)
    engine = runtime.deserialize_cuda_engine(Path(path).read_bytes())
    found: dict[str, Any] = {"engine": engine is not None, "context": None}
    if engine is not None:
        print("making a context", flush=True)
        context = engine.create_execution_context()
        found["context"] = context is not None
        del context
    del engine, runtime
    return found | {"messages": list(log.errors)}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])), flush=True)
