"""Engines: how to build them, and the files they are kept in."""

from trtforge.engine.artifact import Engine
from trtforge.engine.build import build
from trtforge.engine.config import BuildConfig
from trtforge.engine.manifest import Manifest
from trtforge.engine.manifest_file import load_manifest
from trtforge.engine.precision import network_precision
from trtforge.engine.store import EngineStore
from trtforge.nvidia.plugins import Plugin

__all__ = [
    "BuildConfig",
    "Engine",
    "EngineStore",
    "Manifest",
    "Plugin",
    "build",
    "load_manifest",
    "network_precision",
]
