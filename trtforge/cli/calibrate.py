"""``trtforge calibrate``: INT8 ranges from a network and clips."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trtforge.cli._options import (
    add_activation_memory,
    add_attention,
    add_calibration,
    add_collect_on,
    add_model,
    chosen_percentile,
    make_console,
    print_notes,
    print_path,
)
from trtforge.cli._outputs import check_outputs

if TYPE_CHECKING:
    import onnx
    from rich.console import Console

    from trtforge.scales import Scales

OPTIONS = {
    "tensors": ("--observe",),
    "activation_bytes": ("--activation-memory",),
    "clips": ("--calibration-set",),
    "library_version": ("--cache-version",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("--calibration-set", metavar="DIR", required=True, help="clips to calibrate on")
    parser.add_argument("-o", "--output", metavar="SCALES", required=True, help="the .json file to write")
    parser.add_argument(
        "--save-observations", metavar="NPZ", help="also keep the histograms, to choose from again"
    )
    parser.add_argument(
        "--observe",
        choices=("int8", "all"),
        default="int8",
        help="which tensors: those that INT8 touches (default), or also those that FP16 would hold",
    )
    parser.add_argument(
        "--cache",
        metavar="CACHE",
        help="also write a calibration cache for TensorRT 8 and 10, with the names that the parser of 8.6 "
        "makes, and as CACHE.onnx the network it belongs to",
    )
    parser.add_argument(
        "--cache-version",
        metavar="VERSION",
        default="8.6.0",
        help="the TensorRT version that --cache is for, which takes no other's (default: 8.6.0)",
    )
    add_calibration(parser)
    add_attention(parser)
    add_activation_memory(parser)
    add_collect_on(parser)


def run(args: argparse.Namespace) -> None:
    """Observe, choose, write the scales."""
    from trtforge._progress import Stages
    from trtforge.audio import ClipSet, features_for_model
    from trtforge.calibration import cache_header, choose
    from trtforge.cli.inspect import scales_table
    from trtforge.model import load_model
    from trtforge.pipeline import observe
    from trtforge.pipeline.calibration import summarize_scales
    from trtforge.pipeline.range_choice import check_auto_method, choose_ranges
    from trtforge.pipeline.remarks import remark_quiet

    percentile = chosen_percentile(args)
    check_auto_method(args.method, percentile)
    header = cache_header(args.cache_version, "entropy")
    check_outputs(
        {
            "MODEL": args.model,
            "--output": args.output,
            "--save-observations": args.save_observations,
            "--cache": args.cache,
            "the network of --cache": args.cache and _network_of(args.cache),
        },
        read={"MODEL"},
    )
    console = make_console()
    model = load_model(args.model)
    clips = ClipSet.load(args.calibration_set)
    feeds = clips.feeds(features_for_model(model))
    with Stages(console).stage("calibrate") as stage:
        observations = observe(
            model,
            feeds,
            exclude=args.exclude,
            attention=args.attention,
            activation_bytes=args.activation_memory,
            collect_on=args.collect_on,
            tensors="cache" if args.cache else args.observe,
            on_progress=stage,
        )
        chosen = choose_ranges(
            observations,
            model,
            feeds,
            method=args.method,
            percentile=percentile,
            exclude=args.exclude,
            attention=args.attention,
        )
        scales = chosen.scales
        stage.note(summarize_scales(scales))
    scales.save(args.output)
    if args.save_observations:
        observations.save(args.save_observations)
    console.print(scales_table(scales))
    print_notes(console, (*remark_quiet(feeds.quiet, len(feeds)), *chosen.remarks))
    print_path(console, "scales", args.output)
    if args.save_observations:
        print_path(console, f"observations of {len(observations.tensors)} tensors", args.save_observations)
    if args.cache:
        ranges = choose(observations, scales.method, percentile=percentile)
        _write_cache(args.cache, ranges, model, header, console)


def _network_of(cache: str) -> str:
    return f"{cache}.onnx"


def _write_cache(path: str, ranges: Scales, model: onnx.ModelProto, header: str, console: Console) -> None:
    from trtforge.calibration import cache_from_scales, parser_names, write_calibration_cache
    from trtforge.external_data import save_model
    from trtforge.graph import prepare

    prepared = prepare(model)
    cache = cache_from_scales(ranges, header, names=parser_names(prepared))
    write_calibration_cache(cache, path)
    # The parser counts layers, so that the names hold for this very network alone.
    save_model(prepared, _network_of(path))
    print_path(console, f"cache of {len(cache)} tensors", path)
    print_path(console, "its network", _network_of(path))
