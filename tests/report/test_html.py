import copy
import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from trtforge.accuracy import BootstrapConfig, evaluate
from trtforge.errors import ReportError
from trtforge.feeds import Feed
from trtforge.report import render_html

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}$\\frac"
VOID = {"meta", "br", "img", "link", "input", "hr"}


def histogram(amax, floored=False, name="conv_0"):
    return {
        "name": name,
        "amax": amax,
        "observed_max": 0.0 if floored else 8.0,
        "clipped_share": 0.0 if floored else 0.0012,
        "floored": floored,
        "num_values": 120_000,
        "histogram": {"max": 8.0, "counts": [0] * 64 if floored else list(range(64, 0, -1))},
    }


class OneClipEach:
    digest = "0" * 64

    def __len__(self):
        return 12

    def __iter__(self):
        for index in range(12):
            yield Feed({"x": np.full((1, 3, 5), index, np.float32)}, (f"clip-{index}",), (3,))


def accuracy():
    texts = iter(
        text
        for index in range(12)
        for text in ("a big cat sat", "a big hat sat" if index < 2 else "a big cat sat")
    )
    return evaluate(
        {"fp32": lambda arrays: {"y": arrays["x"]}, "int8": lambda arrays: {"y": arrays["x"] + 0.5}},
        OneClipEach(),
        decode=lambda outputs, num_frames: [next(texts)],
        references={f"clip-{index}": "a big cat sat" for index in range(12)},
        strata={f"clip-{index}": {"noise": "babble" if index % 2 else "none"} for index in range(12)},
        bootstrap=BootstrapConfig(num_resamples=200),
    ).to_json()


@pytest.fixture(scope="module")
def whole():
    return {
        "format": "trtforge.report/1",
        "title": "asr as INT8",
        "model": {
            "name": "asr",
            "sha256": "a1" * 32,
            "num_parameters": 5_512_349,
            "opset": 17,
            "inputs": ["mel: float32 [batch, 80, time]"],
            "outputs": ["logits: float32 [batch, time, 29]"],
        },
        "calibration": {
            "method": "entropy",
            "num_clips": 192,
            "rejected": {"bad-1": "the file is truncated"},
            "feeds_sha256": "b2" * 32,
            "tensors": [histogram(4.0 + n / 8, name=f"conv_{n}") for n in range(14)]
            + [histogram(1e-6, True, "dead")],
        },
        "graph": {
            "counts": {"int8": 3, "float16": 1, "float32": 0},
            "layers": [{"name": f"l{n}", "op": "Conv", "precision": "int8"} for n in range(3)]
            + [{"name": "l3", "op": "Add", "precision": "float16"}],
            "float32_nodes": {"norm": "LayerNormalization is computed in FP32"},
        },
        "engine": {
            "library": "TensorRT-RTX",
            "version": "1.2.0",
            "bytes": 6_123_456,
            "sha256": "c3" * 32,
            "compute_capabilities": ["8.9", "9.0"],
            "precision": "int8",
            "profiles": [{"mel": {"min": [1, 80, 50], "opt": [4, 80, 600], "max": [8, 80, 1600]}}],
            "validity": None,
        },
        "accuracy": accuracy(),
        "timings": {"calibrate": 31.8, "build": 65.0},
        "environment": {"Python": "3.11.9"},
        "command": "trtforge compile asr.onnx -o out",
    }


class Checker(HTMLParser):
    """Check that tags nest, and note ids, references, tags and text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.tags, self.attributes, self.words = [], [], set(), [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_the_page_tells_the_whole_story(whole):
    text = Checker(render_html(json.loads(json.dumps(whole)))).text
    for words in (
        "asr as INT8",
        "5 512 349 parameters",
        "Word error rate 0.00 → 4.17 % fp32 → int8",
        "INT8 share 75 % 3 of 4 layers",
        "Engine 5.8 MiB TensorRT-RTX 1.2.0",
        "Calibrated on 192 clips entropy, 15 tensors, 1 left out",
        "int8 recognises as well as fp32, as far as 12 clips can tell: +4.17 points of word error rate",
        "bad-1 the file is truncated",
        "build 1 min 05 s",
        "in all 1 min 37 s",
        "only zeros were seen",
        "threshold 4 of 8 0.12 % of 120 000 values clipped",
        "3 more",
        "1 of the graph's nodes kept in FP32, and why norm LayerNormalization is computed in FP32",
        "trtforge compile asr.onnx -o out",
        "a1" * 32,
    ):
        assert words in text, words
    assert text.index("dead") < text.index("conv_0") < text.index("conv_13")


def test_differences_of_worst_clips_are_marked(whole):
    page = render_html(whole)
    assert page.count('<span class="w-substitution" title="said: cat">hat</span>') == 2
    assert re.search(r"a\s+big\s+<span[^>]*>hat</span>\s+sat", page)


def test_the_page_is_self_contained_and_its_ids_are_distinct(whole):
    page = render_html(whole)
    checker = Checker(page)
    assert len(checker.ids) == len(set(checker.ids)) > 30
    references = [value for key, value in checker.attributes if key == "href"]
    references += [f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", page)]
    assert {name.removeprefix("#") for name in references} <= set(checker.ids)
    assert not {key for key, _ in checker.attributes} & {"src", "srcset", "data", "action"}
    assert not checker.tags & {"script", "link", "img", "iframe", "object", "foreignobject"}
    assert "@import" not in page
    assert page.count("<style>") == 1
    assert "default-src 'none'" in page


def test_plots_take_the_colours_of_the_page(whole):
    page = render_html(whole)
    assert "var(--runner-1)" in page
    assert not re.search(r"#0[1-5]0[1-5]0[0-5]", page)
    assert "DejaVu" not in page


def test_the_same_report_gives_the_same_page(whole):
    assert render_html(whole) == render_html(copy.deepcopy(whole))


@pytest.mark.parametrize(
    "part",
    ["title", "model", "calibration", "graph", "engine", "accuracy", "timings", "environment", "command"],
)
@pytest.mark.parametrize("how", ["missing", "none"])
def test_any_part_may_be_missing(whole, part, how):
    report = {key: value for key, value in whole.items() if key != part}
    if how == "none":
        report[part] = None
    # few plots, for they take the time
    if report.get("accuracy"):
        report["accuracy"] = {**report["accuracy"], "strata": report["accuracy"]["strata"][:1]}
    if report.get("calibration"):
        report["calibration"] = {**report["calibration"], "tensors": report["calibration"]["tensors"][:1]}
    checker = Checker(render_html(report))
    section = {"calibration": "activations", "graph": "layers"}.get(part, part)
    assert section not in checker.ids
    assert "provenance" in checker.ids


def test_an_empty_report_is_a_page():
    assert "Report" in Checker(render_html({"format": "trtforge.report/1"})).text


def test_a_lone_runner_has_no_verdict(whole):
    lone = copy.deepcopy(whole["accuracy"])
    lone["runners"], lone["outputs"] = ["fp32"], {}
    page = render_html({"format": "trtforge.report/1", "accuracy": lone})
    assert 'class="verdict' not in page
    assert "Word error rate 0.00 % fp32" in Checker(page).text


def hostile(value):
    if isinstance(value, dict):
        return {key: hostile(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [hostile(entry) for entry in value]
    return HOSTILE if isinstance(value, str) else value


def test_every_text_is_escaped(whole):
    report = hostile({key: whole[key] for key in ("model", "calibration", "graph", "engine")})
    report["calibration"]["tensors"] = report["calibration"]["tensors"][:2]
    report["calibration"]["rejected"] = {HOSTILE: HOSTILE}
    spoiled = copy.deepcopy(whole["accuracy"])
    spoiled["normalization"] = HOSTILE
    for stratum in spoiled["strata"]:
        stratum["factor"] = stratum["value"] = HOSTILE
    for clip in spoiled["clips"]:
        clip["strata"], clip["reference"] = {HOSTILE: HOSTILE}, HOSTILE
        clip["runners"]["int8"]["hypothesis"] = HOSTILE + " more"
    report |= {
        "format": "trtforge.report/1",
        "title": HOSTILE,
        "accuracy": json.loads(json.dumps(spoiled).replace('"fp32"', json.dumps(HOSTILE))),
        "timings": {HOSTILE: 1.0},
        "environment": {HOSTILE: HOSTILE},
        "command": HOSTILE,
    }
    page = render_html(report)
    checker = Checker(page)
    assert "<img" not in page
    assert "</script>" not in page
    assert not [key for key, _ in checker.attributes if key.startswith("on")]
    assert checker.text.count(html.unescape(HOSTILE)) > 20


def test_control_characters_surrogates_and_direction_marks_are_replaced():
    page = render_html({"format": "trtforge.report/1", "title": "a\x00b\ud800c\u202ed\x1b"})
    assert "<h1>a\ufffdb\ufffdc\ufffdd\ufffd</h1>" in page
    assert "<h1>\u0645\u06cc\u200c\u062e \u00a0é</h1>" in render_html(
        {"format": "trtforge.report/1", "title": "\u0645\u06cc\u200c\u062e \u00a0é"}
    )
    page.encode("utf-8")


def test_other_formats_and_damaged_reports_are_refused(whole):
    with pytest.raises(ReportError, match=r'lacks "format": "trtforge\.report/1"'):
        render_html({"format": "trtforge.report/2"})
    with pytest.raises(ReportError, match="the report is damaged: KeyError"):
        render_html({**whole, "engine": {"library": "x"}})
    damaged = {**whole["calibration"], "tensors": [{**histogram(4.0), "amax": "<b>"}]}
    with pytest.raises(ReportError, match="damaged: ValueError"):
        render_html({**whole, "calibration": damaged})


def test_precisions_that_were_asked_for_stand_beside_those_that_came(whole):
    layer = {"op_type": "Conv", "requested": "int8"}
    proof = {
        "delivered": 2,
        "fell_back": 1,
        "unknown": 1,
        "by_graph": 1,
        "layers": [
            {**layer, "name": "a", "real": "int8", "engine_layer": "a + relu", "verdict": "delivered"},
            {**layer, "name": "b", "real": "int8", "engine_layer": None, "verdict": "delivered"},
            {**layer, "name": "c", "real": "float16", "engine_layer": "c", "verdict": "fell_back"},
            {**layer, "name": "d", "real": None, "engine_layer": None, "verdict": "unknown"},
        ],
    }
    text = Checker(render_html({**whole, "proof": proof})).text
    assert "2 of 4 layers as asked, 1 fell back, of 1 the library does not tell." in text
    assert "2 were found among the layers of the built engine; 1 are stated by the graph's types" in text
    assert "Asked Got c Conv INT8 FP16 d Conv INT8 not known 4 layers, one by one" in text
    assert "a Conv INT8 INT8 a + relu b Conv INT8 INT8 by the graph's types c" in text
    assert "Precision asked" not in render_html(whole)


def test_the_story_of_the_fastest_precision_is_told(whole):
    tried = {"float_blocks": [], "ratio": 0.5, "shapes": {"x (4, 16)": [0.48, 0.5, 0.52]}, "error": None}
    story = {
        "chosen": "Q/DQ",
        "reason": "Q/DQ takes 50 % of the time of FP16",
        "tried": [
            {**tried, "way": "Q/DQ"},
            {**tried, "way": "a cache", "ratio": None, "shapes": {}, "error": "no implementation"},
        ],
    }
    text = Checker(render_html({**whole, "fastest": story})).text
    assert "Q/DQ takes 50 % of the time of FP16. Times are shares" in text
    assert "Way x (4, 16) Q/DQ, kept 50 % (48 to 52) a cache not built: no implementation" in text
    assert "Which precision is faster" not in render_html({**whole, "fastest": None})
