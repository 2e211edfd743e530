"""Errors as the commands show them."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from trtforge.errors import TrtforgeError


def complain(error: TrtforgeError) -> None:
    """Print an error and its hint; what they quote is no markup."""
    console = Console(stderr=True)
    console.print(f"[red]error[/] {escape(error.message)}", soft_wrap=True, highlight=False)
    if error.hint:
        console.print(f"[bold]hint[/]  {escape(error.hint)}", soft_wrap=True, highlight=False)
