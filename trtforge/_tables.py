"""Tables that stay readable on a narrow terminal."""

from __future__ import annotations

import textwrap

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

# A column of words no wider than this is not worth folding.
_NARROW = 12
_TERMINAL = 80
_GAP = 2


def make_table(title: str | None = None) -> Table:
    """Return an empty table without columns, with as little between them as tells them apart."""
    return Table(
        # A line above, as one table follows another.
        title=title and f"\n{title}",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
        pad_edge=False,
        show_edge=False,
    )


def fit(table: Table) -> Table:
    """Keep numbers and the words of headings whole; wide columns of words take the room that is left.

    Where eighty columns do not hold them even so, cells break between words, and nothing is lost.

    Parameters
    ----------
    table : filled; columns of numbers stand to the right. Headings that are wider than what they head are
        broken between words.
    """
    needed = _GAP * (len(table.columns) - 1)
    for column in table.columns:
        cells = [_text(cell) for cell in column.cells]
        widest = max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)
        heading = _text(column.header)
        words = [cell_len(word) for word in heading.split()]
        if column.justify == "right" or widest <= _NARROW:
            column.no_wrap = True
            lines = textwrap.wrap(heading, max(widest, *words, 1), break_on_hyphens=False)
            column.header = Text("\n".join(lines))
            needed += max(widest, *words, 1)
        else:
            column.overflow = "fold"
            needed += _NARROW
    if needed > _TERMINAL:
        for column in table.columns:
            column.no_wrap, column.overflow = False, "fold"
    return table


def _text(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else Text.from_markup(str(cell)).plain
