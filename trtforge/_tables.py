"""Tables that stay readable on a narrow terminal."""

from __future__ import annotations

import copy
import dataclasses
import textwrap
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
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
    break within where the room ends. Where not even that fits, the numbers that follow the last column of
    words go on in further tables below, each with the words again; where there are no such numbers, or one
    column of them does not fit, each row is a paragraph of headings and cells.
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
            parts = self._parts(options.max_width)
            for index, part in enumerate(parts):
                yield from ([Text()] if index else [])
                yield part
            if not parts:
                yield from self._paragraphs(options.max_width)
        if caption:
            yield Text.from_markup(str(caption), style=self.caption_style or "table.caption")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Take all the room there is; what is not needed stays empty."""
        self._arrange(options.max_width)
        return super().__rich_measure__(console, options)

    def _arrange(self, width: int) -> bool:
        """Give each column its width; say whether all fit."""
        least, wanted = zip(*map(_widths, self.columns), strict=True) if self.columns else ((), ())
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

    def _parts(self, width: int) -> list[FittingTable]:
        """Share the columns of numbers among tables that fit; none where that cannot be done."""
        ends = [index for index, column in enumerate(self.columns, 1) if column.justify != "right"]
        words, numbers = self.columns[: max(ends, default=0)], self.columns[max(ends, default=0) :]
        room = width - sum(_widths(column)[0] + _GAP for column in words)
        needed = [_widths(column)[0] for column in numbers]
        if max(needed, default=room + 1) > room:
            return []
        # As narrow as so many parts can be, so that none holds a last column alone.
        fewest = len(_lines(needed, room))
        tried = (_lines(needed, width) for width in range(max(needed), room + 1))
        groups = next(lines for lines in tried if len(lines) == fewest)
        parts = []
        for group in groups:
            part = copy.copy(self)
            part.title = part.caption = None
            chosen = (*words, *(numbers[index] for index in group))
            part.columns = [dataclasses.replace(column, _index=index) for index, column in enumerate(chosen)]
            parts.append(part)
        return parts

    def _paragraphs(self, width: int) -> Iterator[Text]:
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
            yield from (Text.assemble("  ", line, style=style) for line in _packed(shown, width - 2))


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


def _widths(column: Column) -> tuple[int, int]:
    """Return the least width at which a column can be read, and the one at which nothing in it breaks."""
    cells = [cell_len(line) for cell in column.cells for line in _text(cell).plain.split("\n")]
    widest = max(cells, default=0)
    whole = max((cell_len(word) for word in _text(column.header).plain.split()), default=1)
    if column.justify == "right" or widest <= _NARROW:
        return max(widest, whole), max(widest, whole)
    words = [cell_len(word) for cell in column.cells for word in _text(cell).plain.split()]
    least = max(min(max(words, default=0), _LONGEST_WORD), whole)
    return least, max(widest, least)


def _lines(widths: Sequence[int], room: int) -> list[list[int]]:
    """Set things side by side for as long as there is room; return the indices in each line."""
    lines: list[list[int]] = []
    left = 0
    for index, width in enumerate(widths):
        if not lines or width > left:
            lines.append([])
            left = room
        lines[-1].append(index)
        left -= width + _GAP
    return lines


def _packed(items: Sequence[Text], width: int) -> list[Text]:
    """Set items in lines with semicolons between; one that no line holds breaks between words."""
    console = Console(width=width)
    lines: list[Text] = []
    for index, item in enumerate(items):
        text = Text.assemble(item, ";" if index < len(items) - 1 else "")
        if lines and lines[-1].cell_len + 1 + text.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], " ", text)
        else:
            lines += text.wrap(console, width)
    for line in lines:
        line.rstrip()
    return lines


def hanging(text: Text, width: int, indent: int) -> Text:
    """Break a line between words, and set what follows the first part ``indent`` columns in."""
    first, rest = text.divide([min(indent, len(text))])
    lines = rest.wrap(Console(width=width), max(1, width - indent))
    for line in lines:
        line.rstrip()
    return Text.assemble(first, Text(f"\n{' ' * indent}").join(lines))


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
