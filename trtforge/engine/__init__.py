"""Engines: how to build them, and the files they are kept in."""

from trtforge.engine.artifact import Engine, load_manifest
from trtforge.engine.build import build
from trtforge.engine.config import BuildConfig
from trtforge.engine.manifest import Manifest
from trtforge.engine.precision import network_precision

__all__ = ["BuildConfig", "Engine", "Manifest", "build", "load_manifest", "network_precision"]
