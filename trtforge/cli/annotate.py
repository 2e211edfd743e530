"""``trtforge annotate``: a network that says how its input is made and its output is read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trtforge.cli._options import add_model, check_writable, make_console, print_path

if TYPE_CHECKING:
    import onnx

    from trtforge.audio import LogMel
    from trtforge.speech import CtcDecoder

_NUMBERS = {
    "sampling_rate": ("HZ", "of the audio (default: 16000)"),
    "n_fft": ("N", "length of the transform, in samples (default: 512)"),
    "win_length": ("N", "length of the window, in samples (default: 400)"),
    "hop_length": ("N", "step from frame to frame, in samples (default: 160)"),
    "f_min": ("HZ", "lower edge of the first band (default: 0)"),
    "f_max": ("HZ", "upper edge of the last band (default: 8000)"),
    "log_floor": ("X", "power added before the logarithm (default: 2^-24)"),
    "min_frames": ("N", "fewest frames that the network can use (default: 1)"),
}
_FLOATS = ("f_min", "f_max", "log_floor")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    add_model(parser)
    parser.add_argument("-o", "--output", metavar="ONNX", required=True, help="the .onnx file to write")
    mel = parser.add_argument_group(
        "input", "log-mel features, with the settings of the network's training; kept where it has them"
    )
    for name, (metavar, meaning) in _NUMBERS.items():
        kind = float if name in _FLOATS else int
        mel.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=meaning)
    mel.add_argument(
        "--normalize",
        choices=("per_band", "none"),
        help="whether each band has mean 0 and deviation 1 (default: per_band)",
    )
    ctc = parser.add_argument_group("output", "scores of symbols, from a network trained with CTC")
    ctc.add_argument(
        "--symbols",
        metavar="FILE",
        help="text of each symbol in output order: a line each, a JSON list, or JSON of symbol to index; "
        "without it nothing is said of the output",
    )
    ctc.add_argument("--blank", type=int, metavar="N", help="index of the blank (default: behind the last)")
    ctc.add_argument(
        "--stride", type=int, metavar="N", help="frames of the input to one of the output (default: inferred)"
    )
    ctc.add_argument("--output-name", metavar="NAME", help="where the network has several outputs")


def run(args: argparse.Namespace) -> None:
    """Read the settings, write the network, say what it says."""
    from rich.markup import escape

    from trtforge.external_data import save_model
    from trtforge.model import load_model
    from trtforge.pipeline import annotate

    check_writable(args.output)
    model = load_model(args.model)
    features = _features(args, model)
    if features is not None:
        model = annotate(model, features=features)
    decoder = _decoder(args, model)
    if decoder is not None:
        model = annotate(model, decoder=decoder)
    save_model(model, args.output)
    console = make_console()
    if features is not None:
        console.print(f"[bold]input[/]    {escape(repr(features))}", soft_wrap=True)
    if decoder is not None:
        console.print(
            f"[bold]output[/]   {escape(decoder.output)}: {len(decoder.vocabulary)} symbols, blank "
            f"{decoder.blank}, one for every {decoder.frames_per_output} frames",
            soft_wrap=True,
        )
    print_path(console, "network", args.output)


def _features(args: argparse.Namespace, model: onnx.ModelProto) -> LogMel | None:
    from trtforge.audio import LogMel
    from trtforge.model import FEATURES_KEY, model_inputs, model_metadata

    told = {name: getattr(args, name) for name in (*_NUMBERS, "normalize")}
    given = {name: value for name, value in told.items() if value is not None}
    if not given and args.symbols is not None and FEATURES_KEY in model_metadata(model):
        return None
    first = model_inputs(model)[0]
    bands = [size for size in first.shape[1:] if isinstance(size, int)] if len(first.shape) == 3 else []
    if bands:
        given["num_mels"] = bands[0]
    return LogMel(input_name=first.name, **given)


def _decoder(args: argparse.Namespace, model: onnx.ModelProto) -> CtcDecoder | None:
    from trtforge.errors import ConfigError
    from trtforge.model import model_outputs
    from trtforge.pipeline.annotating import infer_stride
    from trtforge.speech import CtcDecoder

    if args.symbols is None:
        for name in ("blank", "stride", "output_name"):
            if getattr(args, name) is not None:
                raise ConfigError(f"--{name.replace('_', '-')} says nothing without --symbols")
        return None
    names = [spec.name for spec in model_outputs(model)]
    if args.output_name is None and len(names) > 1:
        raise ConfigError(f"the network has the outputs {', '.join(names)}", hint="name one: --output-name")
    output = args.output_name or names[0]
    symbols = _read_symbols(Path(args.symbols))
    blank = len(symbols) if args.blank is None else args.blank
    decoder = CtcDecoder(symbols, blank, output)
    decoder.check(model)
    stride = infer_stride(model, output) if args.stride is None else args.stride
    return CtcDecoder(symbols, blank, output, stride)


def _read_symbols(path: Path) -> tuple[str, ...]:
    import json

    from trtforge.errors import ConfigError

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return tuple(text.removesuffix("\n").split("\n"))
    if isinstance(value, dict):
        indices = {index: symbol for symbol, index in value.items() if type(index) is int}
        value = [indices.get(index) for index in range(len(value))]
    if not isinstance(value, list) or not all(isinstance(symbol, str) for symbol in value):
        raise ConfigError(
            f"{path} is no list of symbols",
            hint='write a symbol on each line, ["a", "b"], or {"a": 0, "b": 1} with every index from 0 on',
        )
    return tuple(value)
