"""``trtforge cache``: look into the store of built engines, verify it, make room."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trtforge.cli._options import make_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from trtforge.engine.store import EngineStore
    from trtforge.engine.store_folder import StoredEngine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument(
        "--folder",
        metavar="DIR",
        help="the store (default: engines in TRTFORGE_CACHE or the user's cache folder)",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, summary in (
        ("list", "what is kept, last used first"),
        ("verify", "hash every engine again, and name those that are damaged"),
        ("path", "print the folder of the store"),
    ):
        actions.add_parser(name, help=summary, description=f"{summary}.", parents=[folder])
    clear = actions.add_parser(
        "clear", help="remove engines", description="remove engines.", parents=[folder]
    )
    which = clear.add_mutually_exclusive_group(required=True)
    which.add_argument("--all", action="store_true", help="remove every engine that is not being built")
    which.add_argument(
        "--older-than",
        type=_duration,
        metavar="TIME",
        help="remove what was last used before, such as 30d or 12h",
    )


def run(args: argparse.Namespace) -> None:
    """Do as the action says."""
    from trtforge.engine.store import EngineStore

    store = EngineStore(args.folder)
    {"list": _list, "verify": _verify, "path": _path, "clear": _clear}[args.action](store, args)


def entries_table(entries: Sequence[StoredEngine], *, now: float) -> Table:
    """Return the entries of a store as a table.

    Parameters
    ----------
    entries : what is kept.
    now : the present time in seconds since 1970.
    """
    from rich.markup import escape

    from trtforge._tables import make_table
    from trtforge.units import format_bytes

    table = make_table()
    for column in ("key", "name", "precision", "library", "GPU"):
        table.add_column(column)
    table.add_column("size", justify="right")
    table.add_column("last use", justify="right")
    for entry in entries:
        made = entry.manifest
        facts = (
            ("[red]manifest damaged[/]", "", "", "")
            if made is None
            else (
                escape(made.name or "unnamed"),
                made.precision,
                escape(f"{made.library} {made.library_version}"),
                escape(f"{made.gpu or 'any'} ({', '.join(made.compute_capabilities)})"),
            )
        )
        table.add_row(entry.key[:12], *facts, format_bytes(entry.num_bytes), _ago(now - entry.last_used))
    return table


def _list(store: EngineStore, args: argparse.Namespace) -> None:
    import time

    from trtforge.units import format_bytes

    entries, console = store.entries(), make_console()
    if entries:
        console.print(entries_table(entries, now=time.time()))
    total = format_bytes(sum(entry.num_bytes for entry in entries))
    console.print(f"{_count(len(entries))}, {total}, in {store.folder}", markup=False, soft_wrap=True)


def _verify(store: EngineStore, args: argparse.Namespace) -> None:
    from trtforge.errors import EngineIntegrityError

    damaged, console = store.verify(), make_console()
    for key, reason in damaged.items():
        console.print(f"{key[:12]}  {reason}", markup=False, soft_wrap=not console.is_terminal, style="red")
    if damaged:
        raise EngineIntegrityError(
            f"{_count(len(damaged))} of {len(store.entries())} in {store.folder} must not be used",
            hint="nothing takes them: each is built again when it is next asked for",
        )
    console.print(
        f"{_count(len(store.entries()))} in {store.folder}, all whole", markup=False, soft_wrap=True
    )


def _path(store: EngineStore, args: argparse.Namespace) -> None:
    print(store.folder)


def _clear(store: EngineStore, args: argparse.Namespace) -> None:
    from trtforge.units import format_bytes

    removed = store.clear(older_than_s=None if args.all else args.older_than)
    freed = format_bytes(sum(entry.num_bytes for entry in removed))
    console = make_console()
    console.print(f"{_count(len(removed))} removed, {freed}", markup=False)
    if args.all and (left := store.entries()):
        console.print(f"{_count(len(left))} in use, or not to be removed from {store.folder}", markup=False)


def _count(number: int) -> str:
    return "1 engine" if number == 1 else f"{number} engines"


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "now"


def _duration(text: str) -> float:
    from trtforge.errors import ConfigError
    from trtforge.units import parse_duration

    try:
        return parse_duration(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(error.message) from None
