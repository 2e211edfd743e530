"""``trtforge transcribe``: recordings to text, with the times of words."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trtforge.cli._options import make_console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trtforge._progress import Stage
    from trtforge.errors import ClipError
    from trtforge.speech import Transcript

T = TypeVar("T")

OPTIONS = {"words": ("--no-words",)}

_OF_WHISPER = ("language", "task", "device", "num_rows", "no_words")
_OF_CTC = ("window_seconds", "margin_seconds", "beam_width")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a CTC network (.onnx), a folder that export_whisper wrote, or folder or id of a Whisper "
        "checkpoint of transformers",
    )
    parser.add_argument("audio", metavar="AUDIO", nargs="+", help="audio files of any length")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for NAME.json, with words and times")
    whisper = parser.add_argument_group("Whisper")
    whisper.add_argument("--language", metavar="CODE", help="such as en; found by the network by default")
    whisper.add_argument("--task", choices=("transcribe", "translate"), help="translate: into English")
    whisper.add_argument("--device", choices=("cpu", "gpu"), help="default: cpu")
    whisper.add_argument("--num-rows", type=int, metavar="N", help="windows decoded at a time")
    whisper.add_argument("--no-words", action="store_true", help="leave the times of words out")
    ctc = parser.add_argument_group("CTC networks")
    ctc.add_argument("--window-seconds", type=float, metavar="S", help="longest window (default: 30)")
    ctc.add_argument(
        "--margin-seconds",
        type=float,
        metavar="S",
        help="left at cut ends of networks whose outputs see without a bound (default: 2)",
    )
    ctc.add_argument(
        "--beam-width",
        type=int,
        metavar="N",
        help="texts that a beam search keeps (default: 1, the best symbol of each frame)",
    )


def run(args: argparse.Namespace) -> int | None:
    """Transcribe each recording, print its text, write its JSON; 2 where one could not be read."""
    from rich.markup import escape

    from trtforge._files import write_json
    from trtforge._progress import Stages
    from trtforge.errors import ClipError

    console = make_console()
    names = _names(args.audio)
    num_failed = 0
    with Stages(console).stage("transcribe") as stage:
        by_ctc = Path(args.model).suffix.lower() == ".onnx"
        _refuse(args, _OF_WHISPER if by_ctc else _OF_CTC)
        found = list(_ctc(args, stage) if by_ctc else _whisper(args, stage))
        stage.note(f"{len(found)} recordings" if len(found) > 1 else names[0])
    for name, transcript in zip(names, found, strict=True):
        if isinstance(transcript, ClipError):
            num_failed += 1
            console.print(f"[bold red]error[/] {escape(str(transcript))}", soft_wrap=True)
            continue
        if len(names) > 1:
            console.print(f"[bold]{escape(name)}[/]", soft_wrap=True)
        console.print(escape(transcript.text or "(no speech)"), soft_wrap=True)
        if args.output:
            path = Path(args.output) / f"{name}.json"
            write_json(path, transcript.to_json())
            console.print(f"[dim]{escape(str(path))}[/]", soft_wrap=True)
    return 2 if num_failed else None


def _refuse(args: argparse.Namespace, settings: Sequence[str]) -> None:
    """Refuse options that are for the other kind of network."""
    from trtforge.errors import ConfigError

    wrong = [f"--{name.replace('_', '-')}" for name in settings if getattr(args, name) not in (None, False)]
    if wrong:
        raise ConfigError(
            f"{args.model} does not take {', '.join(wrong)}",
            hint="a network (.onnx) is read by CTC, anything else as a Whisper checkpoint",
        )


def _names(paths: list[str]) -> list[str]:
    """Return a name for each recording; those that would be the same keep their extension and a number."""
    from collections import Counter

    counts = Counter(Path(path).stem for path in paths)
    return [
        Path(path).stem if counts[Path(path).stem] == 1 else f"{Path(path).name}-{index + 1}"
        for index, path in enumerate(paths)
    ]


def _whisper(args: argparse.Namespace, stage: Stage) -> list[Transcript | ClipError]:
    from trtforge.speech.whisper import TranscribeSettings, Whisper

    settings = TranscribeSettings(
        language=args.language, task=args.task or "transcribe", words=not args.no_words
    )
    with Whisper.load(args.model, device=args.device or "cpu", num_rows=args.num_rows) as whisper:
        return whisper.transcribe(list(args.audio), settings, on_progress=stage)


def _ctc(args: argparse.Namespace, stage: Stage) -> Iterator[Transcript | ClipError]:
    from trtforge.audio import LogMel
    from trtforge.errors import ClipError
    from trtforge.graph import receptive_field
    from trtforge.model import load_model
    from trtforge.runtime import OnnxRunner
    from trtforge.speech import CtcDecoder, transcribe_long

    model = load_model(args.model)
    features, field = LogMel.for_model(model), receptive_field(model)
    decoder = replace(CtcDecoder.for_model(model), beam_width=_given(args.beam_width, 1))
    with OnnxRunner(model) as runner:
        for index, path in enumerate(args.audio):
            try:
                yield transcribe_long(
                    runner,
                    path,
                    features,
                    decoder,
                    window_seconds=_given(args.window_seconds, 30.0),
                    field=field,
                    margin_seconds=_given(args.margin_seconds, 2.0) if field is None else None,
                )
            except ClipError as error:
                yield error
            stage(index + 1, len(args.audio))


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
