import copy
import json

import pytest

from tests.calibration.audited import observed, two_tensors
from tests.report.test_html import HOSTILE, Checker, hostile
from trtforge.calibration import audit_observations, random_order
from trtforge.errors import ReportError
from trtforge.report import render_html


@pytest.fixture(scope="module")
def audit():
    clips, strata = two_tensors()
    strata["clip-0"]["room"] = "hall"
    report = audit_observations(
        observed(clips, rejected={"bad-1": "the file is empty"}),
        strata,
        method="percentile",
        percentile=95,
        orders={"random": [random_order(clips)], "clean": [random_order(list(clips)[:10])]},
    )
    return json.loads(json.dumps(report.to_json()))


def page(audit):
    return render_html({"format": "trtforge.report/1", "title": "Audit", "audit": audit})


def test_the_page_tells_what_was_found(audit):
    text = Checker(page(audit)).text
    for words in (
        "24 clips, thresholds by percentile",
        "Combinations that lack clips 2 of 6 of two strata; fewer than 2 clips",
        "Thresholds one stratum decides 1 of 2 change by more than 10 % without it",
        "Clips that saturate",
        "Enough clips not reached percentile, taken in random order",
        "Orders tried: random 1, clean 1",
        "enough: random not within 16 · clean not within 10",
        "level soft and room hall 0",
        "a level loud 8",
        "bad-1 the file is empty",
    ):
        assert words in text, words


def test_few_clips_do_not_tell_whether_they_are_enough():
    clips, strata = two_tensors(8)
    report = audit_observations(observed(clips), strata, orders={"stratified": [random_order(clips)]})
    assert report.convergence.drifts == ()
    checker = Checker(page(json.loads(json.dumps(report.to_json()))))
    assert "Enough clips cannot be told 8 clips are too few to tell drift" in checker.text
    assert "convergence" not in checker.ids


def test_clean_clips_alone_have_their_ticks():
    clips, strata = two_tensors(8)
    report = audit_observations(observed(clips), strata, orders={"clean": [random_order(list(clips)[:5])]})
    text = page(json.loads(json.dumps(report.to_json())))
    assert "Enough clips cannot be told" in Checker(text).text
    assert "entropy 5 clips ≤0.1 1 10 100 drift, % enough: clean 5" in Checker(text).text


def test_it_is_self_contained_and_reproducible(audit):
    text = page(audit)
    checker = Checker(text)
    assert len(checker.ids) == len(set(checker.ids)) > 10
    assert not checker.tags & {"script", "link", "img", "iframe", "object"}
    assert {"audit", "convergence", "influence", "gaps"} <= set(checker.ids)
    assert text == page(copy.deepcopy(audit))


def test_numbers_among_strata_are_ordered_by_size(audit):
    ordered = copy.deepcopy(audit)
    first = audit["influences"][0]
    ordered["influences"] = [
        {**first, "factor": "snr", "value": value} for value in ("10", "5", "clean", "20")
    ]
    text = page(ordered)
    ticks = text[text.index('aria-label="change of each threshold') :]
    places = [ticks.index(f">{value}</text>") for value in ("5", "10", "20", "clean")]
    assert places == sorted(places)


def test_parts_may_be_missing(audit):
    bare = {**audit, "convergence": None, "influences": [], "saturations": [], "rejected": {}}
    bare["coverage"] = {**audit["coverage"], "cells": [], "aliases": []}
    ids = Checker(page(bare)).ids
    assert "audit" in ids
    assert not {"convergence", "influence", "gaps"} & set(ids)


def test_every_text_is_escaped(audit):
    bad = {**copy.deepcopy(audit), "convergence": None}
    for row in bad["influences"][:2] + bad["saturations"] + bad["coverage"]["cells"]:
        row.update(hostile({key: value for key, value in row.items() if isinstance(value, (str, list))}))
    bad["rejected"] = {HOSTILE: HOSTILE}
    text = page(bad)
    assert "<img" not in text
    assert "</script>" not in text


def test_damage_is_an_error(audit):
    with pytest.raises(ReportError, match="the report is damaged: KeyError"):
        page({**audit, "coverage": {}})
