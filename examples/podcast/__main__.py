"""Make a podcast's bundle of a recording.

python -m examples.podcast EPISODE -o OUTPUT
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from examples.podcast.complaints import status_of
from trtforge.units import format_bytes, format_duration

if TYPE_CHECKING:
    from examples.podcast.summary import Summariser
    from examples.podcast.translating import Interpreter


def make_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.podcast", description="From a recording to all that a podcast publishes."
    )
    parser.add_argument("episode", type=Path, metavar="EPISODE", help="the recording")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", required=True)
    parser.add_argument("--show", type=Path, metavar="JSON", help="the show: title, addresses, cover, people")
    parser.add_argument("--terms", type=Path, metavar="JSON", help="how terms are written")
    parser.add_argument("--title", default="", help="of the episode; made of its keywords by default")
    parser.add_argument("--published", default="", metavar="TIME", help="such as 2026-01-31T08:00:00+00:00")
    parser.add_argument(
        "--guid", default="", help="of an episode whose recording was changed since it was published"
    )
    parser.add_argument(
        "--feed", type=Path, metavar="XML", help="the feed so far, whose other episodes are kept"
    )
    parser.add_argument("--episode-number", type=int, default=0, metavar="N")
    parser.add_argument("--season", type=int, default=0, metavar="N")
    parser.add_argument(
        "--recognizer", type=Path, metavar="ONNX", help="a CTC network; the bundled one by default"
    )
    parser.add_argument(
        "--whisper", type=Path, metavar="FOLDER", help="a Whisper checkpoint instead of a CTC network"
    )
    parser.add_argument(
        "--language", default="en", help="that is spoken, for --recognizer and --whisper; en by default"
    )
    parser.add_argument(
        "--sentiment",
        type=Path,
        metavar="FOLDER",
        help="a text-classification checkpoint; VADER's lexicon by default",
    )
    parser.add_argument(
        "--summary",
        type=Path,
        metavar="FOLDER",
        help="a checkpoint of BART, Pegasus or a causal language model; central sentences by default",
    )
    parser.add_argument(
        "--translate",
        type=Path,
        metavar="FOLDER",
        help="a Marian checkpoint to translate with; without it translation is left out",
    )
    parser.add_argument("--to", metavar="LANGUAGE", help="what --translate writes, such as es")
    parser.add_argument("--glossary", type=Path, metavar="FILE", help="terms that --translate must keep")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the pipeline.

    Returns
    -------
    0 on success, 1 where a file of the bundle fails its validation, 2 where the request or its input is
    wrong, 130 where it was interrupted.
    """
    args = make_parser().parse_args(arguments)

    def command() -> int:
        with ExitStack() as stack:
            return _run(args, Console(), stack)

    return status_of(command)


def _summariser(args: argparse.Namespace, stack: ExitStack) -> Summariser | None:
    if not args.summary:
        return None
    from examples.podcast.summary_checkpoint import SummaryCheckpoint

    return stack.enter_context(SummaryCheckpoint(args.summary))


def _interpreters(args: argparse.Namespace, stack: ExitStack) -> list[Interpreter]:
    from trtforge.errors import ConfigError

    if not args.translate:
        if args.to or args.glossary:
            raise ConfigError("--to and --glossary are for --translate, which names the checkpoint")
        return []
    if not args.to:
        raise ConfigError("--translate needs --to, the language that it writes", hint="such as --to es")
    from examples.podcast.checkpoint_interpreter import CheckpointInterpreter
    from trtforge.speech.translation import Glossary

    glossary = Glossary.load(args.glossary) if args.glossary else None
    made = CheckpointInterpreter(args.translate, language=args.to, glossary=glossary)
    return [stack.enter_context(closing(made))]


def _run(args: argparse.Namespace, console: Console, stack: ExitStack) -> int:
    from examples.podcast.pipeline import Tools, run
    from examples.podcast.recognizers import chosen_recognizer
    from examples.podcast.sentiment_checkpoint import SentimentCheckpoint
    from examples.podcast.settings import Settings, Show, load_terms

    settings = Settings(
        title=args.title,
        published=args.published,
        guid=args.guid,
        earlier_feed=args.feed,
        episode=args.episode_number,
        season=args.season,
        terms=load_terms(args.terms) if args.terms else {},
    )
    recognizer = chosen_recognizer(args.recognizer, args.whisper, args.language)
    tools = Tools(
        recognizer=stack.enter_context(closing(recognizer)),
        sentiment=stack.enter_context(closing(SentimentCheckpoint(args.sentiment)))
        if args.sentiment
        else None,
        summariser=_summariser(args, stack),
        interpreters=_interpreters(args, stack),
    )
    result = run(
        args.episode,
        args.output,
        show=Show.load(args.show) if args.show else None,
        settings=settings,
        tools=tools,
        console=console,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("file")
    table.add_column("size", justify="right")
    for name, facts in result.manifest["files"].items():
        table.add_row(name, format_bytes(facts["bytes"]))
    console.print(table)
    failed = [check for check in result.checks if not check.passed]
    for check in failed:
        console.print(f"[red]✗[/] {check.file}: {check.what}: {check.problem}", soft_wrap=True)
    seconds = sum(result.seconds.values())
    console.print(
        f"[bold]written[/] {result.folder} in {format_duration(seconds)}, {len(result.checks)} checks, "
        f"{len(failed)} failed",
        soft_wrap=True,
    )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
