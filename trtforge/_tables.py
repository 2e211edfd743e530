"""Tables that stay readable on a narrow terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

# A column of words no wider than this is not worth folding.
_NARROW = 12
# Names longer than this, such as those of layers, may break within.
_LONGEST_WORD = 24
_GAP = 2


class FittingTable(Table):
    """A table that is arranged anew for the width of each console.

    Columns that stand to the right hold numbers, which stay whole, and so do the words of headings; wide
    columns of words share the room that is left, and break between words. Names longer than 24 characters
    break within where the room ends. Where not even that fits, each row is a paragraph of headings and cells.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or its paragraphs."""
        # Title and caption may be wider than the columns.
        title, caption = self.title, self.caption
        if title:
            yield Text.from_markup(str(title), style=self.title_style or "table.title")
        if self._arrange(options.max_width):
            self.title = self.caption = None
            try:
                yield from list(super().__rich_console__(console, options))
            finally:
                self.title, self.caption = title, caption
        else:
            yield from self._paragraphs()
        if caption:
            yield Text.from_markup(str(caption), style=self.caption_style or "table.caption")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Take all the room there is; what is not needed stays empty."""
        self._arrange(options.max_width)
        return super().__rich_measure__(console, options)

    def _arrange(self, width: int) -> bool:
        """Give each column its width; say whether all fit."""
        least: list[int] = []
        wanted: list[int] = []
        for column in self.columns:
            cells = [cell_len(line) for cell in column.cells for line in _text(cell).plain.split("\n")]
            widest = max(cells, default=0)
            heading = _text(column.header).plain
            whole = max((cell_len(word) for word in heading.split()), default=1)
            if column.justify == "right" or widest <= _NARROW:
                least.append(max(widest, whole))
                wanted.append(least[-1])
            else:
                words = [cell_len(word) for cell in column.cells for word in _text(cell).plain.split()]
                longest = min(max(words, default=0), _LONGEST_WORD)
                least.append(max(longest, whole))
                wanted.append(max(widest, least[-1]))
        room = width - _GAP * (len(self.columns) - 1)
        if sum(least) > room:
            return False
        for column, columns_width in zip(self.columns, _share(least, wanted, room), strict=True):
            column.width, column.overflow = columns_width, "fold"
            lines = textwrap.wrap(
                " ".join(_text(column.header).plain.split()), columns_width, break_on_hyphens=False
            )
            column.header = Text("\n".join(lines), style=_style(column))
        return True

    def _paragraphs(self) -> RenderResult:
        headings = [" ".join(_text(column.header).plain.split()) for column in self.columns]
        rows = zip(*(column.cells for column in self.columns), strict=True)
        for row, settings in zip(rows, self.rows, strict=True):
            first, *others = map(_text, row)
            shown = [
                Text.assemble((f"{heading}: ", "dim"), cell)
                for heading, cell in zip(headings[1:], others, strict=True)
                if cell.plain
            ]
            style = settings.style or ""
            if first.plain:
                yield Text.assemble((headings[0] + " " if headings[0] else "", "dim"), first, style=style)
            yield Padding(Text("; ", style=style).join(shown), (0, 0, 0, 2))


def make_table(title: str | None = None) -> Table:
    """Return an empty table without columns, with as little between them as tells them apart."""
    return FittingTable(
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


def _share(least: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """Return the columns' widths: as wanted, or those wider than a common limit brought down to it."""
    for limit in range(max(wanted, default=0), -1, -1):
        widths = [max(low, min(high, limit)) for low, high in zip(least, wanted, strict=True)]
        if sum(widths) <= room:
            return widths
    return list(least)


def _style(column: Column) -> str:
    return str(column.header.style) if isinstance(column.header, Text) else ""


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text.from_markup(str(cell))
