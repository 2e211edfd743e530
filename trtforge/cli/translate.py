"""``trtforge translate``: a text file to another language."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trtforge.cli._options import make_console

if TYPE_CHECKING:
    from rich.console import Console

    from trtforge.speech.translation import Translation


OPTIONS = {"source_language": ("--from",), "target_language": ("--to",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="folder or id of a Marian, M2M100 or NLLB checkpoint of transformers, or a folder that "
        "export_translator wrote",
    )
    parser.add_argument("text", metavar="TEXT", help="UTF-8 file, a sentence or a paragraph a line")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="translations, a line for each line; else printed"
    )
    parser.add_argument("--json", metavar="FILE", help="translations with scores and terms")
    parser.add_argument(
        "--from", dest="source_language", metavar="CODE", help="en for M2M100, eng_Latn for NLLB"
    )
    parser.add_argument(
        "--to", dest="target_language", metavar="CODE", help="es for M2M100, spa_Latn for NLLB"
    )
    parser.add_argument(
        "--glossary", metavar="FILE", help="a term a line, after a tab what to write for it if not itself"
    )
    parser.add_argument(
        "--keep-order", action="store_true", help="ask for the terms in the order of the source too"
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="default: cpu")
    parser.add_argument(
        "--max-batch", type=int, default=32, metavar="N", help="most sentences at a time (default: 32)"
    )


def run(args: argparse.Namespace) -> int | None:
    """Translate, write, and name the terms that were lost; 1 where there were any."""
    from trtforge._files import write_json, write_text
    from trtforge._progress import Stages
    from trtforge.errors import InputError
    from trtforge.speech.translation import Glossary, Translator

    console = make_console()
    glossary = Glossary.load(args.glossary, keep_order=args.keep_order) if args.glossary else None
    try:
        lines = Path(args.text).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{args.text} is no UTF-8 text: {error}") from error
    with (
        Translator.load(
            args.model,
            source_language=args.source_language,
            target_language=args.target_language,
            device=args.device,
            max_batch=args.max_batch,
        ) as translator,
        Stages(console).stage("translate") as stage,
    ):
        found = translator.translate(lines, glossary=glossary, on_progress=stage)
        stage.note(f"{len(found)} lines")
    if args.json:
        write_json(args.json, {"format": "trtforge.translations/1", "lines": [_row(one) for one in found]})
    if args.output:
        write_text(args.output, "".join(f"{one.text}\n" for one in found))
    else:
        for one in found:
            console.print(one.text, markup=False, highlight=False, soft_wrap=True)
    return _say_terms(console, found) if glossary is not None else None


def _say_terms(console: Console, found: tuple[Translation, ...]) -> int | None:
    from rich.markup import escape

    from trtforge.speech.translation import preservation_rate

    num_terms = sum(len(one.terms_kept) + len(one.terms_lost) for one in found)
    console.print(f"terms kept: {100 * preservation_rate(found):.1f} % of {num_terms}")
    for number, one in enumerate(found, 1):
        if one.terms_lost:
            lost = escape(", ".join(one.terms_lost))
            console.print(f"[yellow]line {number} lacks {lost}[/]", soft_wrap=True)
    return 1 if any(one.terms_lost for one in found) else None


def _row(translation: Translation) -> dict[str, object]:
    return {
        "source": translation.source,
        "text": translation.text,
        "score": round(translation.score, 6),
        "method": translation.method,
        "is_complete": translation.is_complete,
        "terms_kept": list(translation.terms_kept),
        "terms_lost": list(translation.terms_lost),
        "terms_added": list(translation.terms_added),
        "terms_in_order": translation.terms_in_order,
    }
