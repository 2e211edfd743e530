import json
import re
from pathlib import Path

import pytest

from tests.bench.made import make_result, make_row
from trtforge.bench import compare_results, load_result, merge, save_result
from trtforge.bench.table import left_out
from trtforge.errors import ReportError


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    save_result(make_result(), tmp_path / "a.json")
    assert load_result(tmp_path / "a.json") == make_result()
    assert sum('"p50"' in line for line in (tmp_path / "a.json").read_text().splitlines()) == 1
    with pytest.raises(ReportError, match="no benchmark result at"):
        load_result(tmp_path / "none.json")
    (tmp_path / "b.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ReportError, match="is no benchmark result: it lacks"):
        load_result(tmp_path / "b.json")
    (tmp_path / "b.json").write_text(json.dumps({"format": "trtforge.bench/1", "runs": [1]}))
    with pytest.raises(ReportError, match="a damaged benchmark result"):
        load_result(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        (("runs",), [], "runs is empty"),
        (("runs", 0, "machine"), {}, "runs[0].machine lacks processor"),
        (("networks", 0, "sha256"), None, "networks[0].sha256 must be text, got None"),
        (("contenders", 0, "versions"), "8.6", "contenders[0].versions must be a mapping, got '8.6'"),
        (("rows", 0), 1, "rows[0] must be a mapping, got 1"),
        (("rows", 0, "run"), 1, "a part is of a run that is not there; there are 1"),
        (("rows", 0, "batch"), True, "rows[0].batch must be a whole number above 0, got True"),
        (
            ("rows", 0, "wall_ms", "p50"),
            float("nan"),
            "rows[0].wall_ms.p50 must be a number above 0",
        ),
        (
            ("rows", 0, "device_ms", "rounds"),
            [1.0, 0],
            "rows[0].device_ms.rounds[1] must be",
        ),
        (("rows", 0, "failed"), 5, "rows[0].failed must be text, got 5"),
    ],
)
def test_a_damaged_result_is_refused_with_the_place(
    tmp_path: Path, part: tuple[str | int, ...], value: object, message: str
) -> None:
    result = json.loads(json.dumps(make_result()))
    inner = result
    for key in part[:-1]:
        inner = inner[key]
    inner[part[-1]] = value
    (tmp_path / "a.json").write_text(json.dumps(result))
    with pytest.raises(ReportError, match=re.escape(f"a.json is a damaged benchmark result: {message}")):
        load_result(tmp_path / "a.json")


def test_parts_are_put_together_and_a_later_one_replaces_an_earlier() -> None:
    first = make_result(make_row(batch=1), make_row(batch=8))
    second = make_result(make_row(batch=8, ms=3.0), make_row("tensorrt-int8", batch=8))
    whole = merge([first, second])
    assert len(whole["runs"]) == 2
    assert [(row["contender"], row["batch"], row["run"]) for row in whole["rows"]] == [
        ("tensorrt-fp16", 1, 0),
        ("tensorrt-fp16", 8, 1),
        ("tensorrt-int8", 8, 1),
    ]
    assert whole["rows"][1]["device_ms"]["p50"] == 3.0
    again = merge(
        [whole, make_result(make_row(batch=1), make_row(batch=8), make_row("tensorrt-int8", batch=8))]
    )
    assert len(again["runs"]) == 1
    with pytest.raises(ReportError, match="unlike machines: GPUs"):
        merge([first, make_result(gpu="another")])
    with pytest.raises(ReportError, match="no result to merge"):
        merge([])


def test_results_of_other_settings_are_refused() -> None:
    before, after = make_result(), make_result()
    after["runs"][0]["config"] = {"rounds": 9, "num_threads": 1}
    with pytest.raises(ReportError, match="num_threads was 1 and None"):
        compare_results(before, after)
    after = make_result()
    after["networks"][0]["profiles"] = "wide"
    with pytest.raises(ReportError, match="net was built with profiles each and wide"):
        compare_results(before, after)
    assert len(compare_results(before, after, anyway=True)) == 1


def test_who_did_not_settle_and_what_was_built_otherwise_is_told() -> None:
    row = make_row(batch=8, warm_up={"seconds": 5.0, "calls": 9, "is_settled": False})
    result = make_result(row, make_row("tensorrt-int8", warm_up={"is_settled": True}))
    result["contenders"][1]["way"] = "built with scales as a calibration cache, since it failed"
    assert left_out(result) == [
        "TensorRT FP16: not settled, its times still changed at the end of its warm-up on net at batch 8, "
        "100 frames",
        "TensorRT INT8 of net: built with scales as a calibration cache, since it failed",
    ]


def test_two_results_side_by_side_by_hand() -> None:
    before, after = make_result(make_row(ms=2.0)), make_result(make_row(ms=2.2))
    (row,) = compare_results(before, after)
    assert row.ratio == pytest.approx(1.1)
    # 0.99 * 2.2 / (1.01 * 2) and the other way round
    assert (row.low, row.high) == (pytest.approx(1.0782, abs=1e-4), pytest.approx(1.1222, abs=1e-4))
    assert row.is_apart
    assert row.rate_ratio == pytest.approx(1 / 1.1)
    (same,) = compare_results(before, before)
    assert not same.is_apart


def test_unlike_results_are_refused_unless_told() -> None:
    before = make_result()
    for after, message in (
        (make_result(gpu="another"), "GPUs .'abacus 9000'. and .'another'."),
        (make_result(version="10.0"), r"tensorrt-fp16 ran with tensorrt 8\.6\.0 and 10\.0"),
    ):
        with pytest.raises(ReportError, match=message) as caught:
            compare_results(before, after)
        assert "compare them anyway" in str(caught.value)
        assert compare_results(before, after, anyway=True)[0].ratio == 1
    other = make_result()
    other["networks"][0]["sha256"] = "c" * 64
    with pytest.raises(ReportError, match="net is another network: bbbbbbbbbbbb and cccccccccccc"):
        compare_results(before, other)
    with pytest.raises(ReportError, match="no network, contender and shape in common"):
        compare_results(before, make_result(make_row(batch=4)))
