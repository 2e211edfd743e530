"""Show transcript and key points of a talk while it is recorded.

python -m examples.podcast_live RECORDING
python -m examples.podcast_live --microphone
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from rich.console import Console

from examples.podcast.complaints import status_of
from trtforge._files import write_json
from trtforge.errors import ConfigError

if TYPE_CHECKING:
    from examples.podcast_live.key_points import KeyPoints
    from examples.podcast_live.listening import Heard
    from examples.podcast_live.sources import Source

FORMAT = "trtforge.podcast.live/1"
_OWN = "default"


def make_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.podcast_live",
        description="Transcript and key points of a talk while it is recorded.",
    )
    parser.add_argument("recording", type=Path, nargs="?", metavar="RECORDING", help="a file to play")
    parser.add_argument(
        "--microphone", nargs="?", const=_OWN, metavar="DEVICE", help="record; a device's number or name"
    )
    parser.add_argument("--fast", action="store_true", help="read it as fast as it goes, not in real time")
    parser.add_argument(
        "--recognizer", type=Path, metavar="ONNX", help="a CTC network; the bundled one by default"
    )
    parser.add_argument("--whisper", type=Path, metavar="FOLDER", help="a Whisper checkpoint instead")
    parser.add_argument("--language", default="en", help="that is spoken; en by default")
    parser.add_argument("--terms", type=Path, metavar="JSON", help="how terms are written")
    parser.add_argument(
        "--model",
        metavar="CHECKPOINT",
        help="a causal language model (folder or id) that writes the key points; by default they are the "
        "most central sentences",
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="where --model runs")
    parser.add_argument("--points", type=int, default=5, metavar="N", help="most key points; 5 by default")
    parser.add_argument(
        "--every",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="between updates of the key points",
    )
    parser.add_argument(
        "--pause", type=float, default=0.4, metavar="SECONDS", help="silence that ends a sentence"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="where all is written in the end")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen; 2 where the request or its input is wrong."""
    args = make_parser().parse_args(arguments)

    def command() -> int:
        with ExitStack() as stack:
            _listen(args, Console(), stack)
        return 0

    return status_of(command)


def _listen(args: argparse.Namespace, console: Console, stack: ExitStack) -> None:
    from examples.podcast.recognizers import chosen_recognizer
    from examples.podcast.settings import load_terms
    from examples.podcast_live.display import Display, latency_table, warnings
    from examples.podcast_live.listening import LiveSettings, listen

    if args.output:
        _check_output(args.output)
    source = _source(args)
    terms = load_terms(args.terms) if args.terms else {}
    settings = LiveSettings(pause_seconds=args.pause, points_seconds=args.every, terms=terms)
    recognizer = stack.enter_context(closing(chosen_recognizer(args.recognizer, args.whisper, args.language)))
    points = _key_points(args, terms, stack)
    title = f"{source.name} · {recognizer.name} · {points.name}"
    with Display(console, title) as display:
        heard = listen(source, recognizer, points, settings, on_change=display)
    if not console.is_terminal:
        console.print(latency_table(heard.latencies))
        for line in warnings(heard):
            console.print(line, markup=False, soft_wrap=True)
    if not heard.segments:
        console.print("nobody spoke: it was silent, music or noise, or too short")
    if args.output:
        write_json(args.output, document(heard))
        console.print(f"[bold]written[/] {args.output}", soft_wrap=True)


def _check_output(path: Path) -> None:
    """Refuse a file that cannot be written before an hour of speech is heard for it."""
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def document(heard: Heard) -> dict[str, object]:
    """Return what was heard as JSON."""
    return {
        "format": FORMAT,
        "seconds": round(heard.seconds, 3),
        "segments": [{"start": one.start, "end": one.end, "text": one.text} for one in heard.segments],
        "points": list(heard.points.texts),
        "latencies": [asdict(one) for one in heard.latencies],
    }


def _source(args: argparse.Namespace) -> Source:
    if (args.recording is None) == (args.microphone is None):
        raise ConfigError("give a recording or --microphone, one of the two")
    if args.microphone is None:
        from examples.podcast_live.sources import FileSource

        return FileSource(args.recording, paced=not args.fast)
    if args.fast:
        raise ConfigError("--fast is for recordings: a microphone gives audio as time goes by")
    from examples.podcast_live.microphone import Microphone

    device = args.microphone
    if device == _OWN:
        return Microphone()
    return Microphone(int(device) if device.isascii() and device.isdigit() else device)


def _key_points(args: argparse.Namespace, terms: dict[str, tuple[str, ...]], stack: ExitStack) -> KeyPoints:
    from examples.podcast_live.key_points import CentralSentences, ModelPoints

    if args.points < 1:
        raise ConfigError(f"--points must be 1 or more, got {args.points}")
    if args.model is None:
        if args.device != "cpu":
            raise ConfigError("--device gpu needs --model, whose engine it runs")
        return CentralSentences(args.points, language=args.language, terms=terms)
    from trtforge.speech.causal import LanguageModel

    model = stack.enter_context(LanguageModel.load(args.model, device=args.device, max_batch=1))
    return ModelPoints(model, name=Path(args.model).name, limit=args.points)


if __name__ == "__main__":
    sys.exit(main())
