"""Sphinx settings; the build treats warnings as errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import trtforge

project = "trtforge"
author = "The trtforge authors"
copyright = "The trtforge authors, Apache-2.0"
version = release = trtforge.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.autosummary"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
autodoc_mock_imports = [
    "cuda", "jinja2", "jiwer", "librosa", "matplotlib", "numba", "onnxruntime", "soundfile", "soxr",
    "tensorrt", "tensorrt_rtx", "torch",
]  # fmt: skip
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trtforge {release}"
