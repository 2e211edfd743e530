"""Import optional packages on first use, with an error that says what to install."""

from __future__ import annotations

import importlib
from typing import Any

from trtforge.errors import MissingExtraError

# Which extra brings which module; the one list that pyproject.toml mirrors.
EXTRA_OF = {
    "audiomentations": "augment",
    "cryptography": "sign",
    "cuda": "run",
    "datasets": "datasets",
    "fsspec": "datasets",
    "google": "triton",
    "grpc": "triton",
    "jinja2": "report",
    "jiwer": "speech",
    "librosa": "speech",
    "matplotlib": "report",
    "numba": "calibrate",
    "onnxruntime": "calibrate",
    "opentelemetry": "opentelemetry",
    "platformdirs": "store",
    "prometheus_client": "metrics",
    "pyarrow": "ray",
    "pynvml": "bench",
    "ray": "ray",
    "sentencepiece": "transformers",
    "sounddevice": "live",
    "soundfile": "speech",
    "soxr": "speech",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "rtx",
    "torch": "torch",
    "tritonclient": "triton",
    "transformers": "transformers",
}


def require(module: str, purpose: str) -> Any:
    """Import ``module``, or say which extra brings it.

    Parameters
    ----------
    module : dotted module name.
    purpose : what needs it, as the end of the sentence "X is needed to ...".

    Raises
    ------
    MissingExtraError : the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != root:
            raise
        raise MissingExtraError(
            f"{root} is needed to {purpose}, and it is not installed",
            hint=f'python -m pip install "trtforge[{EXTRA_OF[root]}]"',
        ) from error


def is_installed(module: str) -> bool:
    """Say whether ``module`` can be found, without importing it."""
    import importlib.util

    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
