"""Measure what networks cost in PyTorch, ONNX Runtime and TensorRT: time, memory, energy and accuracy.

Names are imported on first use: a worker that runs in another interpreter has not what the rest needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trtforge.bench.compare import Comparison as Comparison
    from trtforge.bench.compare import compare_results as compare_results
    from trtforge.bench.config import BenchConfig as BenchConfig
    from trtforge.bench.config import Case as Case
    from trtforge.bench.contenders import CONTENDERS as CONTENDERS
    from trtforge.bench.contenders import Contender as Contender
    from trtforge.bench.contenders import default_contenders as default_contenders
    from trtforge.bench.measure import run_bench as run_bench
    from trtforge.bench.page import render_page as render_page
    from trtforge.bench.result import load_result as load_result
    from trtforge.bench.result import merge as merge
    from trtforge.bench.result import save_result as save_result
    from trtforge.bench.subject import Subject as Subject

_HOME = {
    "CONTENDERS": "contenders",
    "BenchConfig": "config",
    "Case": "config",
    "Comparison": "compare",
    "Contender": "contenders",
    "Subject": "subject",
    "compare_results": "compare",
    "default_contenders": "contenders",
    "load_result": "result",
    "merge": "result",
    "render_page": "page",
    "run_bench": "measure",
    "save_result": "result",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
