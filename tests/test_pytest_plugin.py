"""The pytest plugin, in projects of its own, each in a process of its own."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bundled import MODEL, ROOT, TEST_SET
from tests.projects import run_pytest

GATED = f"""\
import pytest


@pytest.mark.trtforge(
    candidate={str(MODEL)!r}, reference={str(MODEL)!r}, clips={str(TEST_SET)!r},
    num_clips=8, wer_resolution=0.15,
)
def test_unchanged(engine_session, accuracy_baseline):
    accuracy_baseline.check(engine_session)
"""


def assert_plain(out: str, hint: str) -> None:
    """A message is shown once, and no source of ours."""
    assert "Traceback" not in out
    assert "pytest_plugin.py" not in out
    failures, _, _ = out.partition("short test summary info")  # which in CI repeats whole messages
    assert failures.count(hint) == 1


def project(folder: Path, text: str, name: str = "test_it") -> Path:
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (folder / f"{name}.py").write_text(text)
    return folder


def test_the_entry_point_names_the_plugin() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\ntrtforge = "trtforge.pytest_plugin"\n' in text


def test_a_run_that_does_not_use_it_loads_nothing_heavy(tmp_path: Path) -> None:
    project(
        tmp_path,
        "import sys\n\n\ndef test_lean():\n"
        "    heavy = {'numpy', 'onnx', 'rich', 'onnxruntime', 'torch', 'librosa', 'numba', 'tensorrt_rtx'}\n"
        "    assert 'trtforge.pytest_plugin' in sys.modules\n"
        "    assert not heavy & set(sys.modules)\n"
        "    assert len([name for name in sys.modules if name.partition('.')[0] == 'trtforge']) == 2\n",
    )
    status, out = run_pytest(tmp_path)
    assert status == 0, out
    assert "trtforge: baseline" not in out


def test_a_baseline_is_written_then_held(tmp_path: Path) -> None:
    project(tmp_path, GATED)
    baseline = tmp_path / "baselines" / "test_it.test_unchanged.json"
    status, out = run_pytest(tmp_path)
    assert status == 1
    assert f"no baseline at {baseline}" in out
    assert_plain(out, "hint: write it with pytest --trtforge-update-baselines")
    status, out = run_pytest(tmp_path, "--trtforge-update-baselines")
    assert status == 0, out
    assert f"trtforge: baseline written to {baseline}; review it before you commit it" in out
    status, out = run_pytest(tmp_path, "--junitxml=out.xml")
    assert status == 0, out
    assert 'name="trtforge_verdict" value="pass"' in (tmp_path / "out.xml").read_text()

    # An accepted candidate that made no error at all, and lay closer to the reference
    value = json.loads(baseline.read_text())
    for clip in value["clips"]:
        clip["errors"] = 0
    baseline.write_text(json.dumps(value))
    status, out = run_pytest(tmp_path)
    assert status == 1
    assert "asr_en.onnx: FAIL" in out
    assert "baseline 0.00 %" in out
    assert_plain(out, "hint: mend the candidate")


WRONG = [
    ("", "test_it has no marker to say what is checked"),
    ("@pytest.mark.trtforge()", "marker of test_it lacks candidate, clips, reference"),
    (
        '@pytest.mark.trtforge(candidate="a.onnx", reference="a.onnx", clips="c", wer=1)',
        "marker of test_it does not take wer",
    ),
    (
        '@pytest.mark.trtforge(candidate="a.onnx", reference="a.onnx", clips="c", miss_rate=2)',
        "miss_rate must lie between 0.0001 and 0.5, got 2",
    ),
    (
        '@pytest.mark.trtforge(candidate=None, reference="a.onnx", clips="c")',
        "candidate of the trtforge marker must be a path, got None",
    ),
    (
        '@pytest.mark.trtforge(candidate="a.onnx", reference="a.onnx", clips="c", wer_resolution="x")',
        "wer_resolution of the trtforge marker must be a number, got 'x'",
    ),
    (
        '@pytest.mark.trtforge(candidate="a.onnx", reference="a.onnx", clips="c", num_clips=0)',
        "num_clips of the trtforge marker must be 1 or more, got 0",
    ),
    (
        '@pytest.mark.trtforge(candidate="a.onnx", reference="a.onnx", clips="c", time_runs=5)',
        "time_runs of the trtforge marker must be 8 or more, got 5",
    ),
    (
        '@pytest.mark.trtforge(candidate="a.onnx", reference="a.onnx", clips="c", baseline=7)',
        "baseline of the trtforge marker must be a path, got 7",
    ),
    (
        '@pytest.mark.trtforge(candidate="a.onnx", reference="a.onnx", clips="c", seed=0.5)',
        "seed must be a whole number of 0 or more, got 0.5",
    ),
    ('@pytest.mark.trtforge(candidate="a.onnx", reference="a.onnx", clips="c")', "paths start at"),
]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what is said of each wrong marker, by the name of its file."""
    folder = tmp_path_factory.mktemp("wrong")
    for number, (marker, _) in enumerate(WRONG):
        project(
            folder,
            f"import pytest\n\n\n{marker}\ndef test_it(engine_session, accuracy_baseline):\n    pass\n",
            name=f"test_{number}",
        )
    status, out = run_pytest(folder, "--junitxml=out.xml")
    assert status == 1, out
    cases = ElementTree.parse(folder / "out.xml").iter("testcase")  # noqa: S314 - our own
    return {case.attrib["classname"]: "".join(case.itertext()) for case in cases}


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[marker or "none" for marker, _ in WRONG])
def test_errors_say_what_is_wrong(failures: dict[str, str], number: int) -> None:
    assert WRONG[number][1] in failures[f"test_{number}"]


def test_each_test_has_a_baseline_of_its_own(tmp_path: Path) -> None:
    marker = GATED.partition("def test_unchanged")[0]
    body = (
        '    @pytest.mark.parametrize("kind", ["a/b", "a_b"])\n'
        "    def test_it(self, engine_session, accuracy_baseline, kind):\n"
        "        accuracy_baseline.check(engine_session)\n"
    )
    text = marker.replace("@pytest", "pytestmark = pytest", 1).replace("num_clips=8", "num_clips=2")
    project(tmp_path, text + "\n\nclass TestEnglish:\n" + body + "\n\nclass TestGerman:\n" + body)
    status, out = run_pytest(tmp_path, "--trtforge-update-baselines", "-k", "not German or a_b")
    assert status == 1
    written = {path.name for path in (tmp_path / "baselines").iterdir()}
    assert written == {"test_it.TestGerman.test_it_a_b.json"}
    assert "test_it[a/b] and test_it.py::TestEnglish::test_it[a_b] have one baseline" in out
    assert "hint: give each a baseline of its own in its marker" in out


def test_workers_of_xdist_write_baselines_and_name_them(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    marker = GATED.partition("def test_unchanged")[0].replace("num_clips=8", "num_clips=2, wer_budget=None")
    folder = tmp_path / "checks" / "of engines"
    folder.mkdir(parents=True)
    project(tmp_path, "")
    (folder / "test_both.py").write_text(
        marker.replace("@pytest", "pytestmark = pytest", 1)
        + "\n\ndef test_one(engine_session, accuracy_baseline):\n"
        "    accuracy_baseline.check(engine_session)\n"
        "\n\ndef test_twice(engine_session, accuracy_baseline):\n"
        "    accuracy_baseline.check(engine_session)\n    accuracy_baseline.check(engine_session)\n"
    )
    status, out = run_pytest(tmp_path, "-n", "2", "--dist", "load", "--trtforge-update-baselines")
    assert status == 1
    for name in ("test_both.test_one.json", "test_both.test_twice.json"):
        path = folder / "baselines" / name
        assert json.loads(path.read_text())["measured_on"]["num_clips"] == 2
        assert out.count(f"trtforge: baseline written to {path}; review it") == 1
    assert "test_both.py::test_twice checks twice, and has one baseline" in out


def test_a_baseline_that_cannot_be_written_is_not_said_to_be(tmp_path: Path) -> None:
    project(tmp_path, GATED.replace("num_clips=8", 'num_clips=2, baseline="pytest.ini/it.json"'))
    status, out = run_pytest(tmp_path, "--trtforge-update-baselines")
    assert status == 1
    assert f"the baseline cannot be written to {tmp_path / 'pytest.ini/it.json'}: File exists" in out
    assert "trtforge: baseline written" not in out
    assert_plain(out, "hint: give one that can be written in the marker, by baseline")
