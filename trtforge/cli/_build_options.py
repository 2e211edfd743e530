"""Options of the builder, as ``trtforge build`` and ``trtforge compile`` take them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtforge.cli._options import parse_size

if TYPE_CHECKING:
    from trtforge.engine import BuildConfig

# Settings of the library whose options are spelled otherwise.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "workspace_bytes": ("--workspace",),
    "memory_pools": ("--memory-pool",),
    "tf32": ("--no-tf32",),
    "tactic_sources": ("--tactic-source",),
    "plugins": ("--plugin",),
    "preview_features": ("--preview-feature",),
    "compute_capabilities": ("--compute-capability",),
    "weight_block_size": ("--block-size",),
}

# A path may hold an at sign of its own.
_PLUGIN = re.compile(r"(?P<path>.+?)(?:@(?P<sha256>[0-9a-fA-F]{64}))?", re.DOTALL)


def add_builder_options(parser: argparse.ArgumentParser) -> None:
    """Take what is told to the builder; one that the library lacks is an error, which says who has it."""
    group = parser.add_argument_group("builder", "docs/building.md says what each library has")
    group.add_argument(
        "--block-size",
        type=int,
        default=64,
        metavar="N",
        help="weights that share a scale where they alone are narrow: 16, 32, 64 (default) or 128",
    )
    group.add_argument("--optimization-level", type=int, metavar="0-5", help="effort (library's default: 3)")
    group.add_argument(
        "--workspace", type=parse_size, metavar="SIZE", help="most scratch memory of a layer, such as 4GiB"
    )
    group.add_argument(
        "--memory-pool",
        action="append",
        type=_pool,
        metavar="NAME=SIZE",
        help="bound of another pool, such as tactic_shared_memory=64KiB; may be given again",
    )
    group.add_argument(
        "--timing-cache",
        nargs="?",
        const=True,
        metavar="FILE",
        help="keep measured timings between builds: in FILE, or in the user's cache folder",
    )
    group.add_argument("--no-tf32", action="store_true", help="compute FP32 products in full precision")
    group.add_argument("--sparsity", action="store_true", help="use 2:4 sparse weights where there are any")
    group.add_argument(
        "--tactic-source",
        action="append",
        metavar="NAME",
        help="take implementations from this source alone, such as jit_convolutions; may be given again",
    )
    group.add_argument("--refit", choices=("any", "identical"), help="let weights be exchanged later")
    group.add_argument("--strip-weights", action="store_true", help="leave weights out; needs --refit")
    group.add_argument("--weight-streaming", action="store_true", help="let weights stay in host memory")
    group.add_argument(
        "--strongly-typed", action="store_true", help="TensorRT 10: let the network's types decide"
    )
    group.add_argument(
        "--prefer-float16", action="store_true", help="TensorRT 8.6 and 10: FP16 where INT8 does not reach"
    )
    group.add_argument("--direct-io", action="store_true", help="convert no input and no output on a call")
    group.add_argument(
        "--version-compatible", action="store_true", help="let later releases of the library load the engine"
    )
    group.add_argument(
        "--exclude-lean-runtime", action="store_true", help="leave the lean runtime out of such an engine"
    )
    group.add_argument(
        "--hardware-compatibility",
        choices=("ampere_plus", "same_compute_capability"),
        help="let the engine run on other GPUs than this machine's",
    )
    group.add_argument(
        "--compute-capability",
        action="append",
        metavar="X.Y",
        help="TensorRT-RTX: GPU generation to build for, such as 8.9; may be given again",
    )
    group.add_argument(
        "--plugin",
        action="append",
        metavar="PATH[@SHA256]",
        help="absolute path of a library of custom operators, with its digest if known; may be given again",
    )
    group.add_argument("--aux-streams", type=int, metavar="N", help="most streams beside the main one")
    group.add_argument(
        "--require-precision",
        action="store_true",
        help="fail where a layer runs in another precision than was asked, or may do so",
    )
    group.add_argument(
        "--profiling-verbosity",
        choices=("detailed", "layer_names_only", "none"),
        default="detailed",
        help="what the engine tells of its layers (default: detailed)",
    )
    group.add_argument(
        "--preview-feature",
        action="append",
        type=_feature,
        metavar="NAME[=on|off]",
        help="switch a feature on trial; may be given again",
    )


def build_config(args: argparse.Namespace, **more: Any) -> BuildConfig:
    """Return the settings that the command line asks for.

    Parameters
    ----------
    args : what `add_builder_options` took.
    more : further fields of `trtforge.BuildConfig`.

    Raises
    ------
    ConfigError : a value is out of range, or unknown to every library.
    """
    from trtforge.engine import BuildConfig
    from trtforge.nvidia.plugins import Plugin

    paths = (_PLUGIN.fullmatch(text) for text in args.plugin or ())
    return BuildConfig(
        weight_block_size=args.block_size,
        optimization_level=args.optimization_level,
        workspace_bytes=args.workspace,
        memory_pools=dict(args.memory_pool or ()),
        timing_cache=args.timing_cache,
        sparsity=args.sparsity,
        tf32=not args.no_tf32,
        tactic_sources=args.tactic_source,
        refit=args.refit,
        strip_weights=args.strip_weights,
        weight_streaming=args.weight_streaming,
        strongly_typed=args.strongly_typed,
        prefer_float16=args.prefer_float16,
        direct_io=args.direct_io,
        version_compatible=args.version_compatible,
        exclude_lean_runtime=args.exclude_lean_runtime,
        hardware_compatibility=args.hardware_compatibility,
        compute_capabilities=tuple(args.compute_capability or ()),
        plugins=tuple(Plugin(found["path"], found["sha256"]) for found in paths if found),
        aux_streams=args.aux_streams,
        require_precision=args.require_precision,
        profiling_verbosity=args.profiling_verbosity,
        preview_features=dict(args.preview_feature or ()),
        **more,
    )


def _pool(text: str) -> tuple[str, int]:
    name, equals, size = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=SIZE")
    return name, parse_size(size)


def _feature(text: str) -> tuple[str, bool]:
    name, _, state = text.partition("=")
    if not name or state not in ("", "on", "off"):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME, NAME=on or NAME=off")
    return name, state != "off"
