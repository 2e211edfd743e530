"""Hold engines against ONNX Runtime: four networks, every precision, several shapes and profiles.

    python -m benchmarks.bench_agreement

Writes the JSON and fills the table of ``docs/engines.md``; ``--redraw`` does so with the JSON that is there.
Needs a GPU and TensorRT. The networks: the bundled recogniser, an encoder of Whisper-tiny's shape, a decoder
step with a key-value cache, and a network with an output as long as the data say. Each engine has two
profiles. FP32, TF32 and FP16 engines are held against the network in FP32, INT8 ones against the same Q/DQ
network, both in ONNX Runtime on the CPU; the JSON is written after every engine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.networks.decoder_step import DecoderShape, decoder_step
from benchmarks.networks.frame_selector import frame_selector
from benchmarks.networks.whisper_encoder import NUM_MEL_FRAMES, whisper_encoder
from benchmarks.pages import Publication, table, to_text
from trtforge._files import write_text
from trtforge.accuracy import OutputMetrics, measure_output
from trtforge.audio import ClipSet, LogMel
from trtforge.engine import BuildConfig, Engine, build
from trtforge.engine.attempts import describe_way
from trtforge.errors import BuildError
from trtforge.feeds import ArrayFeeds, Arrays
from trtforge.model import load_model
from trtforge.pipeline import calibrate, quantize
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.report.formatting import precision_name
from trtforge.runtime import OnnxRunner, Session
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

MODULE = "benchmarks.bench_agreement"
FORMAT = "trtforge.benchmark.agreement/1"
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/agreement.json"
PAGE = ROOT / "docs/engines.md"
RECOGNISER = ROOT / "examples/models/asr_en/asr_en.onnx"
CALIBRATION_SET = ROOT / "calibration_sets/podcast_en"
_PACKAGES = ("tensorrt", "cuda-python", "numpy", "onnx", "onnxruntime")
NUM_CALIBRATION_BATCHES = 16

# Least signal to noise of an output over all requests, in dB, that an engine is held to.
LEAST_SNR_DB: dict[str, float] = {"float32": 90.0, "tf32": 50.0, "float16": 40.0, "int8": 20.0}
WAYS: dict[str, BuildConfig] = {
    "float32": BuildConfig(precision="float32", tf32=False),
    "tf32": BuildConfig(precision="float32"),
    "float16": BuildConfig(precision="float16"),
    "int8": BuildConfig(precision="int8"),
}


@dataclass(frozen=True)
class Subject:
    """A network, the shapes of its engine, and what it is calibrated and asked on.

    Parameters
    ----------
    title : what it is, in a few words.
    model : the float32 network.
    profiles : of its engines.
    calibration, requests : inputs.
    """

    title: str
    model: onnx.ModelProto
    profiles: tuple[OptimizationProfile, ...]
    calibration: Sequence[Arrays]
    requests: Sequence[Arrays]


def recogniser() -> Subject:
    """Make the subject of the bundled recogniser, on speech."""
    feeds = ClipSet.load(CALIBRATION_SET)[: NUM_CALIBRATION_BATCHES + 8].feeds(LogMel.for_model(RECOGNISER))
    clips = [dict(feed.arrays) for feed in feeds]
    (name,) = clips[0]
    cut = [
        {name: np.asarray(clip[name])[:, :, :length]}
        for clip, length in zip(clips, (64, 200, 320), strict=False)
    ]
    joined = [
        {name: np.concatenate([np.asarray(clip[name])[:, :, :300] for clip in clips[:count]])}
        for count in (2, 5, 8)
    ]
    profiles = tuple(
        OptimizationProfile({name: ShapeRange(*((batch, 80, frames) for batch, frames in shapes))})
        for shapes in (((1, 16), (1, 320), (4, 320)), ((1, 256), (8, 512), (8, 1024)))
    )
    return Subject(
        "the bundled recogniser", load_model(RECOGNISER), profiles, clips[8:], [*cut, *clips[:5], *joined]
    )


def whisper_tiny_encoder() -> Subject:
    """Make the subject of an encoder of Whisper-tiny's shape, on noise in the range of its features."""

    def windows(count: int, seed: int) -> Arrays:
        return {
            "mel": np.random.default_rng(seed).uniform(-1, 1, (count, 80, NUM_MEL_FRAMES)).astype(np.float32)
        }

    profiles = tuple(
        OptimizationProfile({"mel": ShapeRange(*((batch, 80, NUM_MEL_FRAMES) for batch in batches))})
        for batches in ((1, 1, 1), (1, 4, 4))
    )
    return Subject(
        "an encoder of Whisper-tiny's shape, random weights",
        whisper_encoder(),
        profiles,
        [windows(1, seed) for seed in range(NUM_CALIBRATION_BATCHES)],
        [windows(count, 100 + count) for count in (1, 2, 4)],
    )


def decoder() -> Subject:
    """Make the subject of a decoder step with a key-value cache."""
    shape, heads, width = DecoderShape(), 6, 64

    def request(batch: int, past: int, frames: int, seed: int) -> Arrays:
        rng = np.random.default_rng(seed)
        arrays: dict[str, Any] = {
            "token": rng.integers(0, shape.vocabulary, (batch, 1)),
            "position": np.full((batch, 1), past, np.int64),
        }
        for layer in range(shape.num_layers):
            for part, length in (("past", past), ("cross", frames)):
                for kind in ("key", "value"):
                    values = rng.standard_normal((batch, heads, length, width), dtype=np.float32)
                    arrays[f"layer.{layer}.{part}_{kind}"] = values
        return arrays

    def profile(*shapes: tuple[int, int, int]) -> OptimizationProfile:
        ranges = {name: ShapeRange(*((batch, 1) for batch, _, _ in shapes)) for name in ("token", "position")}
        for layer in range(shape.num_layers):
            for kind in ("key", "value"):
                past = ((batch, heads, length, width) for batch, length, _ in shapes)
                cross = ((batch, heads, frames, width) for batch, _, frames in shapes)
                ranges[f"layer.{layer}.past_{kind}"] = ShapeRange(*past)
                ranges[f"layer.{layer}.cross_{kind}"] = ShapeRange(*cross)
        return OptimizationProfile(ranges)

    return Subject(
        "a decoder step of Whisper-tiny's shape with a key-value cache, random weights",
        decoder_step(shape),
        (
            profile((1, 1, 100), (2, 16, 1500), (4, 64, 1500)),
            profile((1, 64, 100), (4, 200, 1500), (8, 447, 1500)),
        ),
        [request(2, 8 * (seed + 1), 300, seed) for seed in range(NUM_CALIBRATION_BATCHES)],
        [
            request(*sizes, seed=100 + at)
            for at, sizes in enumerate(
                ((1, 1, 100), (1, 17, 1500), (4, 64, 750), (8, 100, 1500), (2, 447, 1500))
            )
        ],
    )


def selector() -> Subject:
    """Make the subject of a network with a data-dependent output."""

    def request(batch: int, frames: int, share: float, seed: int) -> Arrays:
        rng = np.random.default_rng(seed)
        return {
            "mel": rng.standard_normal((batch, 80, frames), dtype=np.float32),
            "marks": (rng.random((batch, frames)) < share).astype(np.float32),
        }

    return Subject(
        "two convolutions and the frames that a second input marks; as many rows as marks",
        frame_selector(),
        tuple(
            OptimizationProfile(
                {
                    "mel": ShapeRange(*((batch, 80, frames) for batch, frames in shapes)),
                    "marks": ShapeRange(*shapes),
                }
            )
            for shapes in (((1, 16), (1, 200), (4, 200)), ((1, 200), (4, 500), (8, 1000)))
        ),
        [request(2, 300, 0.5, seed) for seed in range(NUM_CALIBRATION_BATCHES)],
        [
            request(*sizes, seed=100 + at)
            for at, sizes in enumerate(
                ((1, 16, 1.0), (2, 100, 0.1), (4, 200, 0.5), (8, 1000, 0.9), (3, 500, 0.0))
            )
        ],
    )


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "recogniser": recogniser,
    "whisper_tiny_encoder": whisper_tiny_encoder,
    "decoder_step": decoder,
    "frame_selector": selector,
}


def is_within(found: OutputMetrics, least_snr_db: float) -> bool:
    """Say whether an output comes near enough: no value left out as not finite, and little noise."""
    return found.num_skipped == 0 and found.snr_db >= least_snr_db


def compare(
    engine: Engine, network: onnx.ModelProto, requests: Sequence[Arrays], *, least_snr_db: float
) -> dict[str, Any]:
    """Run all requests through an engine and through the network in ONNX Runtime.

    Returns
    -------
    ``outputs``, the metrics over all requests of the first floating-point output and of the worst;
    ``others_equal``, whether all outputs have the same shape, and those of whole numbers the same values;
    ``inputs``, the shapes of the first inputs of each request.
    """
    metrics: dict[str, OutputMetrics] = {}
    equal = True
    with OnnxRunner(network) as reference, Session(engine) as session:
        for arrays in requests:
            wanted, got = reference.run(arrays), session.run(arrays)
            for name, values in wanted.items():
                if values.dtype.kind != "f" or values.shape != got[name].shape:
                    equal &= bool(np.array_equal(got[name], values))
                elif values.size:
                    found = measure_output(values, got[name])
                    metrics[name] = metrics.get(name, OutputMetrics()) + found
    order = sorted(metrics, key=lambda name: (metrics[name].num_skipped == 0, metrics[name].snr_db))
    worst = order[0] if order else ""
    return {
        "within": equal and bool(worst) and is_within(metrics[worst], least_snr_db),
        "requests": len(requests),
        "inputs": [
            {name: list(array.shape) for name, array in list(arrays.items())[:3]} for arrays in requests
        ],
        "others_equal": equal,
        "worst_output": worst,
        "outputs": {
            name: found.to_json() for name, found in metrics.items() if name in (worst, next(iter(metrics)))
        },
    }


def measure(subject: Subject, way: str, quantized: onnx.ModelProto, scales: Scales) -> dict[str, Any]:
    """Build one engine and compare it; where the library cannot build the network, tell its reason."""
    precision = WAYS[way].precision
    is_int8 = precision == "int8"
    given: Mapping[str, Any] = {"unquantized": subject.model, "scales": scales} if is_int8 else {}
    begin = time.perf_counter()
    try:
        engine = build(
            quantized if is_int8 else subject.model,
            profiles=subject.profiles,
            config=WAYS[way],
            flavor="tensorrt",
            **given,
        )
    except BuildError as error:
        return {"way": way, "built": False, "reason": str(error)}
    seconds = time.perf_counter() - begin
    reference = quantized if is_int8 else subject.model
    found = compare(engine, reference, subject.requests, least_snr_db=LEAST_SNR_DB[way])
    return {
        "way": way,
        "built": True,
        "build_s": round(seconds, 1),
        "built_otherwise": describe_way(engine.manifest),
        "layer_precisions": engine.manifest.layer_precisions,
        "num_profiles": len(subject.profiles),
        "least_snr_db": LEAST_SNR_DB[way],
        **found,
    }


def tables(result: Mapping[str, Any]) -> str:
    """Make the page's table: ratio of signal to noise, and the layers that the library says it runs."""
    rows = []
    for network in result["networks"].values():
        cells = {row["way"]: _cell(row) for row in network["engines"]}
        requests = {row["requests"] for row in network["engines"] if row["built"]}
        counts = " or ".join(map(str, sorted(requests)))
        rows.append((network["title"], counts, *(cells.get(way, "not run") for way in WAYS)))
    held = ("held to", "", *(f"{LEAST_SNR_DB[way]:.0f} dB" for way in WAYS))
    heading = ("Network", "Requests", "FP32", "TF32", "FP16", "INT8")
    return table(heading, [*rows, held], right=4)


def _cell(row: Mapping[str, Any]) -> str:
    if not row["built"]:
        return "not built"
    worst = row["worst_output"]
    if not worst:
        return "another shape"
    layers = row["layer_precisions"] or {}
    told = ", ".join(f"{count} {precision_name(name)}" for name, count in layers.items())
    return f"{row['outputs'][worst]['snr_db']:.1f} dB; {told or 'layers not told'}"


PUBLICATION = Publication(MODULE, FORMAT, RESULT, PAGE, tables)
load, fill = PUBLICATION.load, PUBLICATION.fill


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    args = _parser().parse_args(given)

    def make(path: Path) -> dict[str, Any]:
        run = describe_run(MODULE, given, packages=_PACKAGES)
        result: dict[str, Any] = {"format": FORMAT, "run": run, "networks": {}}
        for name in args.networks:
            subject = SUBJECTS[name]()
            scales = calibrate(subject.model, ArrayFeeds(subject.calibration))
            quantized = quantize(subject.model, scales)
            rows: list[dict[str, Any]] = []
            result["networks"][name] = {"title": subject.title, "engines": rows}
            for way in args.ways:
                rows.append(measure(subject, way, quantized, scales))
                write_text(path, to_text(result))  # so that little is lost when the next one is stopped
                print(f"{name} {way}: {_told(rows[-1])}", flush=True)
        return result

    return PUBLICATION.run(args, make)


def _told(row: Mapping[str, Any]) -> str:
    if not row["built"]:
        return f"not built: {row['reason']}"
    worst = row["worst_output"]
    if not worst:
        return "built, no output of the shape that was wanted"
    return (
        f"built in {row['build_s']} s, {worst} {row['outputs'][worst]['snr_db']} dB, "
        f"others equal: {row['others_equal']}, within: {row['within']}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    PUBLICATION.add_options(parser, has_limit=False)
    parser.add_argument("--networks", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    return parser


if __name__ == "__main__":
    sys.exit(main())
