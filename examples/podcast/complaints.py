"""Errors as the commands show them."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from trtforge.errors import TrtforgeError


def status_of(command: Callable[[], int]) -> int:
    """Run a command; 2 where the request or its input is wrong, 130 where it was interrupted."""
    try:
        return command()
    except TrtforgeError as error:
        complain(error)
    except OSError as error:
        complain(TrtforgeError(f"a file cannot be read or written: {error}"))
    except KeyboardInterrupt:
        Console(stderr=True).print("[yellow]interrupted[/]; what was finished is kept")
        return 130
    return 2


def complain(error: TrtforgeError) -> None:
    """Print an error and its hint; what they quote is no markup."""
    console = Console(stderr=True)
    console.print(f"[red]error[/] {escape(error.message)}", soft_wrap=True, highlight=False)
    if error.hint:
        console.print(f"[bold]hint[/]  {escape(error.hint)}", soft_wrap=True, highlight=False)
