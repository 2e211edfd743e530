"""Tables keep numbers and the words of headings whole in eighty columns."""

import io

from rich.console import Console
from rich.text import Text

from trtforge._tables import fit, make_table


def shown(table, width):
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def filled(num_differences):
    table = make_table("Rates")
    table.add_column("key")
    table.add_column("what it is called")
    for index in range(num_differences):
        table.add_column(Text(f"INT8 number {index} - FP32, points"), justify="right")
    name = "a name that is longer than the room for it"
    table.add_row("9b2b5c8ac22d", Text(name), *["-0.42 (-1.05 to +0.18)"] * num_differences)
    return fit(table)


def test_words_give_way_to_numbers():
    assert shown(filled(1), 60) == [
        "",
        "Rates",
        "                                       INT8 number 0 - FP32,",
        "key           what it is called                       points",
        "─" * 60,
        "9b2b5c8ac22d  a name that is longer   -0.42 (-1.05 to +0.18)",
        "              than the room for it",
    ]


def test_cells_fold_where_eighty_columns_do_not_hold_the_numbers():
    lines = shown(filled(4), 80)
    assert max(map(len, lines)) <= 80
    joined = " ".join(lines)
    for word in ("9b2b5c8ac22d", "+0.18)", "longer"):
        assert word in joined
    assert "…" not in joined
