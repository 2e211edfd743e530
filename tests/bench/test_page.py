from xml.etree import ElementTree

import pytest

from tests.bench.made import make_result, make_row
from trtforge.bench import render_page
from trtforge.bench.plots import draw_throughput
from trtforge.bench.table import left_out
from trtforge.errors import ReportError

RESULT = make_result(make_row(), make_row(batch=8), make_row("torch-eager-fp16", ms=4.0))


def test_the_page_shows_each_contender_at_each_shape():
    page = render_page(RESULT)
    for text in (
        "<h2>net</h2>",
        "Two layers. 1,234 parameters; input: noise.",
        "<td>TensorRT FP16</td>",
        '<td class="tone-good">2.000</td>',
        "<td>5.0 MiB</td>",
        "<td>31.2</td>",
        "<td>25.00</td>",
        "python -m x",
        "throughput of net",
    ):
        assert text in page, text
    assert "<script" not in page


def test_texts_are_escaped_and_damage_is_told():
    result = make_result()
    result["networks"][0]["about"] = "<b>bold</b>"
    assert "&lt;b&gt;bold" in render_page(result)
    with pytest.raises(ReportError, match="the result is damaged"):
        render_page({**result, "rows": [{"network": "net"}]})


def test_the_plot_has_a_line_for_each_contender():
    svg = draw_throughput(RESULT)
    ElementTree.fromstring(svg)  # noqa: S314 - drawn here
    assert ">TensorRT FP16</text>" in svg
    assert ">PyTorch eager FP16</text>" in svg
    assert draw_throughput(RESULT) == svg


def test_those_left_out_are_told_with_the_reason_once():
    result = make_result()
    result["contenders"] += [
        {"contender": name, "network": "net", "left_out": "needs a GPU"}
        for name in ("tensorrt-fp32", "tensorrt-int8")
    ]
    result["rows"].append({"contender": "torch-eager-fp16", "network": "net", "failed": "out of memory"})
    assert left_out(result) == [
        "TensorRT FP32, TensorRT INT8: left out, needs a GPU",
        "PyTorch eager FP16: failed, out of memory",
    ]
