"""Tables keep numbers and the words of headings whole in eighty columns."""

import io

from rich.console import Console
from rich.text import Text

from trtforge._tables import hanging, make_table


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
    return table


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


def test_numbers_go_on_in_tables_below_where_eighty_columns_do_not_hold_them():
    assert shown(filled(4), 80) == [
        "",
        "Rates",
        "                                   INT8 number 0 - FP32,   INT8 number 1 - FP32,",
        "key           what it is called                   points                  points",
        "─" * 80,
        "9b2b5c8ac22d  a name that is      -0.42 (-1.05 to +0.18)  -0.42 (-1.05 to +0.18)",
        "              longer than the",
        "              room for it",
        "",
        "                                   INT8 number 2 - FP32,   INT8 number 3 - FP32,",
        "key           what it is called                   points                  points",
        "─" * 80,
        "9b2b5c8ac22d  a name that is      -0.42 (-1.05 to +0.18)  -0.42 (-1.05 to +0.18)",
        "              longer than the",
        "              room for it",
    ]


def test_rows_become_paragraphs_where_no_number_fits_beside_the_words():
    assert shown(filled(2), 42) == [
        "",
        "Rates",
        "key 9b2b5c8ac22d",
        "  what it is called: a name that is longer",
        "  than the room for it;",
        "  INT8 number 0 - FP32, points: -0.42",
        "  (-1.05 to +0.18);",
        "  INT8 number 1 - FP32, points: -0.42",
        "  (-1.05 to +0.18)",
    ]


def test_one_table_serves_consoles_of_any_width():
    table = filled(2)
    narrow, wide = shown(table, 60), shown(table, 120)
    assert len(narrow) == 13
    assert wide[-1].split()[-8:] == ["-0.42", "(-1.05", "to", "+0.18)"] * 2
    assert shown(table, 60) == narrow


def test_no_last_number_stands_alone_in_a_table_below():
    table = make_table()
    table.add_column("runner")
    for heading in ("1234567890", "123456789", "12345678", "p"):
        table.add_column(heading, justify="right")
    table.add_row("FP32", "1", "2", "3", "4")
    headings = [line.split() for line in shown(table, 40) if line.startswith("runner")]
    assert headings == [["runner", "1234567890", "123456789"], ["runner", "12345678", "p"]]


def test_a_long_line_goes_on_below_what_it_says():
    line = Text("  pass: SNR of logits 27.5 dB, baseline 27.5 dB")
    assert hanging(line, 29, 4).plain.splitlines() == [
        "  pass: SNR of logits 27.5",
        "    dB, baseline 27.5 dB",
    ]
    assert hanging(Text("ok"), 30, 4).plain == "ok"


def test_short_rows_break_no_word():
    table = make_table("What each group costs")
    table.add_column("group")
    for heading in ("work, %", "alone", "left out"):
        table.add_column(heading, justify="right")
    table.add_row("encoder.layers.0.self_attention.linear_out", "12.5", "31.2", "40.1")
    table.add_row("classifier", "0.5", "51.2", "30.1")
    for width in (60, 80):
        lines = shown(table, width)
        assert max(map(len, lines)) <= width
        assert "classifier" in lines[-1]
        assert lines[-1].split()[-3:] == ["0.5", "51.2", "30.1"]
