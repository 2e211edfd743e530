import io
import json

import pytest
from rich.console import Console

from tests.calibration.audited import observed, two_tensors
from trtforge.calibration import AuditReport, audit_observations, random_order
from trtforge.errors import ConfigError, ReportError


@pytest.fixture(scope="module")
def report():
    clips, strata = two_tensors()
    store = observed(clips, rejected={"bad-1": "the file is empty"})
    # One clip alone is loud in a wet room.
    strata["clip-0"]["room"] = "hall"
    orders = {"random": [random_order(clips, seed=seed) for seed in range(2)]}
    return audit_observations(store, strata, method="percentile", percentile=95, orders=orders)


def printed(report):
    file = io.StringIO()
    Console(file=file, width=160).print(report)
    return " ".join(file.getvalue().split())


def test_what_is_found(report):
    assert [(influence.tensor, influence.value) for influence in report.deciding] == [("a", "loud")]
    assert [str(cell) for cell in report.coverage.cells][:2] == [
        "level soft and room hall",
        "level loud and room hall",
    ]
    assert report.rejected == {"bad-1": "the file is empty"}
    assert report.num_tensors == 2
    # Every loud clip, of which one in seven values lies above the 95th percentile of all.
    assert {s.clip_id for s in report.saturations if s.tensor == "a"} == {f"clip-{3 * i}" for i in range(8)}
    assert report.saturations[0].clipped_share == pytest.approx(0.15, abs=0.02)
    assert report.convergence is not None
    assert [drift.num_clips for drift in report.convergence.curve("random", "max")] == [8, 16]
    assert repr(report) == (
        "AuditReport(24 clips, method='percentile', 2 short cells, 1 of 2 tensors decided by one stratum, "
        f"{len(report.saturations)} saturating clips, 0 nearly silent, 1 rejected)"
    )


def test_few_clips_do_not_tell_whether_they_are_enough():
    clips, strata = two_tensors(8)
    few = audit_observations(observed(clips), strata, orders={"random": [random_order(clips)]})
    assert (
        "clips that are enough ! 8 are too few to tell: drift is measured from 8 on, against all"
        in printed(few)
    )
    assert "Drift from" not in printed(few)


def test_it_survives_json(report, tmp_path):
    report.save(tmp_path / "audit.json")
    value = json.loads((tmp_path / "audit.json").read_text())
    assert AuditReport.from_json(value) == report
    assert {
        "order": "random",
        "method": "max",
        "num_clips": report.convergence.enough("random", "max"),
    } in value["convergence"]["enough"]


def test_tables_say_it(report):
    text = printed(report)
    assert "Audit of 24 clips, thresholds by percentile" in text
    assert "1 empty and 1 with fewer than 2 clips, of 6" in text
    assert "1 of 2 change by more than 10 % when its clips are left out" in text
    assert "bad-1 the file is empty" in text
    assert "level soft and room hall 0" in text
    assert "order clips entropy percentile mse max" in text
    assert "enough 8 - 8 8" in text


def test_a_set_without_strata_has_an_audit_too():
    clips, _ = two_tensors(8)
    report = audit_observations(observed(clips), {})
    assert (report.influences, report.coverage.cells, report.convergence) == ((), (), None)
    assert "0 of 0 change" in printed(report)
    assert AuditReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_refusals(report):
    with pytest.raises(ConfigError, match="max_change must be above 0, got 0"):
        audit_observations(observed({"x": {"a": [1.0]}}), {}, max_change=0)
    with pytest.raises(ConfigError, match="no calibration method 'best'"):
        audit_observations(observed({"x": {"a": [1.0]}}), {}, method="best")
    with pytest.raises(ReportError, match=r'lacks "format": "trtforge.audit/1"'):
        AuditReport.from_json({"format": "other"})
    with pytest.raises(ReportError, match="value is a damaged audit report: KeyError"):
        AuditReport.from_json({"format": "trtforge.audit/1"})
