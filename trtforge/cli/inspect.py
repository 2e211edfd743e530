"""``trtforge inspect``: explain an engine, a scales file, a network, a report or a clip set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trtforge.cli._json_files import explain_json, facts_table
from trtforge.cli._options import make_console

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from trtforge.engine.manifest import Manifest
    from trtforge.engine.proof import PrecisionProof
    from trtforge.graph import GraphSummary
    from trtforge.scales import Scales


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="NAME.engine, NAME.onnx, NAME.cache, observations.npz, a folder of clips, or a JSON file "
        "that trtforge wrote: scales, profiles, report, audit, search, bench, lock, baseline, check, timings",
    )


def run(args: argparse.Namespace) -> None:
    """Find out what the file is and explain it."""
    path = Path(args.file)
    console = make_console()
    for part in explain(path):
        console.print(part)


def explain(path: Path) -> list[RenderableType]:
    """Return what a terminal should show of a file.

    Raises
    ------
    ConfigError : there is no such file, or it is of no kind that trtforge knows.
    """
    from trtforge.engine.manifest_file import manifest_path
    from trtforge.errors import ConfigError

    if path.is_dir():
        return _clips(path)
    if not path.is_file():
        raise ConfigError(f"no file at {path}")
    if manifest_path(path).is_file():
        return _engine(path)
    if path.suffix == ".onnx":
        return _network(path)
    if path.suffix == ".npz":
        return _observations(path)
    if path.suffix == ".cache":
        return _calibration_cache(path)
    if path.suffix == ".json" and not path.name.endswith(".engine.json"):
        return explain_json(path)
    if path.suffix == ".engine" or path.name.endswith(".engine.json"):
        return _engine(path.with_suffix("") if path.suffix == ".json" else path)
    raise ConfigError(
        f"{path} is of no kind that trtforge knows",
        hint="it explains .engine, .onnx, .cache, .npz and .json files that it wrote, and any ONNX network",
    )


def scales_table(scales: Scales) -> Table:
    """Return the ranges of a scales file as a table."""
    from rich.markup import escape

    table = _table("tensor", "amax", "observed max", "clipped", "scale", title=repr(scales))
    for name, entry in scales.tensors.items():
        table.add_row(
            escape(name) + (" [yellow](only zeros seen)[/]" if entry.floored else ""),
            f"{entry.amax:.5g}",
            f"{entry.observed_max:.5g}",
            f"{100 * entry.clipped_share:.4f} %",
            f"{entry.scale:.5g}",
        )
    if scales.rejected:
        table.caption = "\n".join(
            escape(f"left out: {clip}: {reason}") for clip, reason in scales.rejected.items()
        )
        table.caption_justify = "left"
    return table


def graph_table(summary: GraphSummary) -> Table:
    """Return what a graph says of itself as a table."""
    from rich.markup import escape

    counts = ", ".join(f"{count} in {precision}" for precision, count in summary.counts.items())
    title = (
        f"opset {summary.opset}, {summary.num_nodes} nodes, {summary.num_parameters:,} parameters, "
        f"{summary.num_quantizers} Q, {summary.num_dequantizers} DQ; layers: {counts or 'none'}"
    )
    table = _table("layer", "operator", "computes in", "weights in", "parameters", title=title)
    for layer in summary.layers:
        texts = (layer.name, layer.op_type, layer.precision, layer.weight_dtype)
        table.add_row(*map(escape, texts), f"{layer.num_parameters:,}")
    by_reason: dict[str, list[str]] = {}
    for node, reason in summary.float32_nodes.items():
        by_reason.setdefault(reason, []).append(node)
    lines = [
        f"FP32: {', '.join(nodes[:3])}{f' and {len(nodes) - 3} more' * (len(nodes) > 3)}: {reason}"
        for reason, nodes in by_reason.items()
    ]
    lines += [f"scale of {name}: {said}" for name, said in summary.raised_scales.items()]
    lines += [f"inside {body}: {count} further layers" for body, count in summary.nested_layers.items()]
    if lines:
        table.caption, table.caption_justify = escape("\n".join(lines)), "left"
    return table


def proof_table(proof: PrecisionProof) -> Table:
    """Return what each layer was asked for and got as a table."""
    from rich.markup import escape

    colors = {"delivered": "", "fell_back": "[red]", "unknown": "[yellow]"}
    table = _table("layer", "operator", "asked", "got", "says", title=str(proof))
    for layer in proof.layers:
        got = f"{colors[layer.verdict]}{layer.real or 'not known'}"
        says = {"engine": "the engine", "graph": "the graph", "nowhere": "nobody"}[layer.source]
        table.add_row(escape(layer.name), layer.op_type, layer.requested, got, says)
    return table


def _clips(path: Path) -> list[RenderableType]:
    from collections import Counter

    from trtforge.audio import ClipSet

    clips = ClipSet.load(path)
    counts: dict[str, Counter[str]] = {}
    for strata in clips.strata().values():
        for factor, value in strata.items():
            counts.setdefault(factor, Counter())[value] += 1
    facts = {"clips": repr(clips), **{f"left out: {name}": reason for name, reason in clips.rejected.items()}}
    for factor, values in counts.items():
        facts[factor] = ", ".join(f"{value} ({count})" for value, count in sorted(values.items()))
    return [facts_table(facts)]


def _network(path: Path) -> list[RenderableType]:
    from trtforge.graph import describe
    from trtforge.model import load_model, model_digest, model_metadata

    model = load_model(path)
    summary = describe(model)
    facts = {
        "inputs": "; ".join(map(str, summary.inputs)),
        "outputs": "; ".join(map(str, summary.outputs)),
        "SHA-256": model_digest(model),
        **model_metadata(model),
    }
    return [facts_table(facts), graph_table(summary)]


def _observations(path: Path) -> list[RenderableType]:
    from rich.markup import escape

    from trtforge.calibration import METHODS, Observations, choose

    observations = Observations.load(path)
    table = _table(
        "tensor", "values", "zeros", *METHODS, title=f"{observations!r}, and the amax of each method"
    )
    chosen = {method: choose(observations, method) for method in METHODS}
    for name, histogram in observations.tensors.items():
        table.add_row(
            escape(name),
            f"{histogram.num_values:.3g}",
            f"{100 * histogram.num_zeros / max(1, histogram.num_values):.0f} %",
            *(f"{chosen[method][name].amax:.5g}" for method in METHODS),
        )
    return [table]


def _calibration_cache(path: Path) -> list[RenderableType]:
    from rich.markup import escape

    from trtforge.calibration import read_calibration_cache

    cache = read_calibration_cache(path)
    title = f"calibration cache {cache.header}: {len(cache)} tensors"
    table = _table("tensor", "amax", "scale", title=f"{title}, {cache.algorithm}")
    for name, scale in cache.scales.items():
        table.add_row(escape(name), f"{127 * scale:.5g}", f"{scale:.5g}")
    return [table]


def _engine(path: Path) -> list[RenderableType]:
    from rich.markup import escape

    from trtforge.engine import Engine
    from trtforge.engine.artifact import check_runs_here
    from trtforge.errors import EngineIncompatibleError

    engine = Engine.load(path, check_machine=False)
    facts = facts_table(_manifest_facts(engine.manifest) | {"signature": _signature(path)})
    proof = engine.manifest.proof
    try:
        check_runs_here(engine.manifest)
        facts.add_row("on this machine", escape(str(engine.validity())))
    except EngineIncompatibleError as error:
        facts.add_row("on this machine", f"[red]{escape(error.message)}[/]")
    return [facts, proof_table(proof)] if proof and proof.layers else [facts]


def _signature(path: Path) -> str:
    from trtforge._optional import is_installed
    from trtforge.engine.manifest_file import manifest_bytes
    from trtforge.engine.signature import Signature, is_signed, read_signature, signature_path, trust

    content = read_signature(path)
    if content is None:
        return "none"
    signature = Signature.loads(content, source=str(signature_path(path)))
    if not is_installed("cryptography"):
        return f"by key {signature.key_id}, not checked: cryptography is not installed"
    if not is_signed(manifest_bytes(path), signature):
        return f"bad: the manifest is not what key {signature.key_id} signed"
    trusted = signature.public_key in trust(None, None).keys
    return f"by key {signature.key_id}, {'trusted' if trusted else 'not among the trusted keys'}"


def _manifest_facts(manifest: Manifest) -> dict[str, str]:
    from trtforge.units import format_bytes, format_duration

    typed = manifest.options.get("typed")
    plugins = ", ".join(f"{name} (SHA-256 {digest})" for name, digest in manifest.plugins_sha256.items())
    facts = {
        **({"name": manifest.name} if manifest.name else {}),
        "library": f"{manifest.library} {manifest.library_version}",
        "precision": manifest.precision,
        "runs on": "compute capability " + ", ".join(manifest.compute_capabilities),
        "built on": f"{manifest.gpu or 'no GPU'}, {manifest.system}",
        "build time": format_duration(manifest.build_seconds),
        "plan": f"{format_bytes(manifest.plan_bytes)}, SHA-256 {manifest.plan_sha256}",
        "network": f"SHA-256 {manifest.onnx_sha256}" + (f", typed {typed} for the build" if typed else ""),
        "scales": f"SHA-256 {manifest.scales_sha256}" if manifest.scales_sha256 else "none",
        **({"plugins": plugins} if plugins else {}),
        "inputs": "; ".join(map(str, manifest.inputs)),
        "outputs": "; ".join(map(str, manifest.outputs)),
    }
    for index, profile in enumerate(manifest.profiles):
        facts[f"profile {index}"] = str(profile)
    if manifest.layer_precisions:
        counts = ", ".join(f"{count} {name}" for name, count in manifest.layer_precisions.items())
        facts["layers"] = f"{counts} (narrowest type that each reads)"
    if manifest.proof and manifest.proof.layers:
        facts["precision got"] = str(manifest.proof)
    for index, warning in enumerate(manifest.warnings):
        facts[f"warning {index + 1}"] = warning
    return facts


def _table(*columns: str, title: str) -> Table:
    from rich.markup import escape

    from trtforge._tables import make_table

    table = make_table(escape(title))
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table
