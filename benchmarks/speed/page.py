"""The generated parts of the page on benchmarks and of the README: what networks cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.origin import commit_of, cores_of, gpus_of, versions_of
from benchmarks.pages import fill_between, table
from trtforge.bench import wording
from trtforge.bench.table import left_out

PART = "speed"
_HEADING = (
    "Contender", "p50, ms", "p95", "p99", "± rounds", "Wall p50, ms", "Clips/s", "RTFx", "GPU memory",
    "Host memory", "J/clip", "SNR, dB", "WER, %",
)  # fmt: skip
_README = ("torch-eager-fp16", "torch-compiled-fp16", "tensorrt-fp32", "tensorrt-fp16", "tensorrt-int8")
_README_BATCH = 8


def fill_page(page: str, result: Mapping[str, Any]) -> str:
    """Replace the tables of the page on benchmarks."""
    return fill_between(page, tables(result), part=PART)


def fill_readme(page: str, result: Mapping[str, Any]) -> str:
    """Replace the table of the README."""
    return fill_between(page, summary(result), part=PART)


def tables(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown: every network at every batch, what comes before, origin."""
    parts = ["![Clips a second by batch](images/speed.svg)"]
    parts += [_network(result, row) for row in result["networks"]]
    parts += ["\n".join(f"* {line}" for line in left_out(result))] if left_out(result) else []
    return "\n\n".join([*parts, _origin(result)])


def summary(result: Mapping[str, Any]) -> str:
    """Return the README's table: clips a second at one batch, with the accuracy beside it."""
    rows: list[tuple[str, ...]] = []
    for network in result["networks"]:
        name = network["network"]
        timed = _timed(result, name)
        about = _contenders(result, name)
        for contender in _README:
            found = [row for row in timed if row["contender"] == contender and row["batch"] == _README_BATCH]
            if not found:
                continue
            (row,) = found[:1]
            rows.append(
                (
                    name if contender == _README[0] or not rows or rows[-1][-1] != name else "",
                    wording.title(contender),
                    wording.milliseconds(wording.latency(row)["p50"]),
                    wording.rate(row["rows_per_s"]["median"]),
                    wording.size(row["device_bytes"]),
                    wording.snr(about[contender]),
                    wording.words(about[contender]),
                    name,
                )
            )
    heading = ("Network", "Contender", "p50, ms", "Clips/s", "GPU memory", "SNR, dB", "WER, %")
    gpus = ", ".join(result["runs"][0]["machine"]["gpus"]) or "no GPU"
    said = f"Batch {_README_BATCH}; {gpus}.\nEncoders and convolutions have random weights."
    plot = "![Clips a second by batch](docs/images/speed.svg)"
    return "\n\n".join((said, table(heading, [row[:-1] for row in rows], right=5), plot))


def _network(result: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    name = about["network"]
    timed, contenders = _timed(result, name), _contenders(result, name)
    parts = [
        f"### {name}",
        f"{about['about']} {about['num_parameters']:,} parameters; input: {about['inputs']}. Engines have "
        + ("one profile for each shape" if about["profiles"] == "each" else "one profile for all shapes")
        + (
            f", optimization level {about['optimization_level']}."
            if about["optimization_level"] is not None
            else "."
        ),
    ]
    for shape in dict.fromkeys((row["batch"], row["frames"]) for row in timed):
        rows = [_cells(row, contenders) for row in timed if (row["batch"], row["frames"]) == shape]
        parts += [
            f"**{wording.shape({'batch': shape[0], 'frames': shape[1]})}**",
            table(_HEADING, rows, right=12),
        ]
    parts += ["**Before the first answer**", _costs(timed, contenders)]
    return "\n\n".join(parts)


def _cells(row: Mapping[str, Any], contenders: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    times, about = wording.latency(row), contenders[row["contender"]]
    return (
        wording.title(row["contender"]),
        *(wording.milliseconds(times[key]) for key in ("p50", "p95", "p99")),
        f"{100 * wording.spread(times['rounds']):.1f} %",
        wording.milliseconds(row["wall_ms"]["p50"]),
        wording.rate(row["rows_per_s"]["median"]),
        wording.rate(row["rtfx"]),
        wording.size(row["device_bytes"]),
        wording.size(row["host_bytes"]),
        wording.energy(row["energy_j"]),
        wording.snr(about),
        wording.words(about),
    )


def _costs(timed: Sequence[Mapping[str, Any]], contenders: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, row in contenders.items():
        if "load_s" in row:
            first = [other["first_call_s"] for other in timed if other["contender"] == name]
            rows.append(
                (
                    wording.title(name),
                    wording.seconds(row.get("build_s")),
                    wording.size(row.get("build_peak_rss_bytes")),
                    wording.seconds(row["import_s"]),
                    wording.seconds(row["load_s"]),
                    wording.seconds(max(first, default=None)),
                    wording.size(row.get("plan_bytes")),
                )
            )
    heading = (
        "Contender", "Build, s", "Build's host memory", "Import, s", "Load, s", "Slowest first call, s",
        "Plan",
    )  # fmt: skip
    return table(heading, rows, right=6)


def _origin(result: Mapping[str, Any]) -> str:
    lines = []
    for index, run in enumerate(result["runs"]):
        machine = run["machine"]
        versions = {**run["versions"]}
        for row in result["contenders"]:
            if row["run"] == index:
                versions |= (
                    {"Python of PyTorch": row["python"]} if "torch" in (row.get("versions") or {}) else {}
                )
                versions |= row.get("versions") or {}
        states = [row["gpu_state"] for row in result["rows"] if row["run"] == index and row.get("gpu_state")]
        clocks = [value for state in states for value in state.get("sm_mhz", ())]
        heat = [value for state in states for value in state.get("temperature_c", ())]
        lines += [
            f"* `{run['command']}`",
            f"  on {run['date']}, commit `{commit_of(run)}`; {gpus_of(machine)}; {cores_of(machine)}; "
            + versions_of({"versions": versions})
            + (f"; SM clock {min(clocks)} to {max(clocks)} MHz" if clocks else "")
            + (f", {min(heat)} to {max(heat)} °C" if heat else "")
            + (f"; {run['telemetry_missing']}" if run["telemetry_missing"] else ""),
        ]
    return "### Made with\n\n" + "\n".join(lines)


def _timed(result: Mapping[str, Any], network: str) -> list[Mapping[str, Any]]:
    return [row for row in result["rows"] if row["network"] == network and "failed" not in row]


def _contenders(result: Mapping[str, Any], network: str) -> dict[str, Mapping[str, Any]]:
    return {row["contender"]: row for row in result["contenders"] if row["network"] == network}
