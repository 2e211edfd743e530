"""The pytest plugin: a project's accuracy test in three lines.

pytest loads it in every run, so it imports nothing but pytest and the standard library until a test asks for
one of its fixtures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trtforge.accuracy import Runner
    from trtforge.audio import ClipSet
    from trtforge.checks import CheckConfig, CheckResult, Timings

_UPDATE = "--trtforge-update-baselines"
_WRITTEN = pytest.StashKey[dict[Path, str]]()
_MARKER = (
    "trtforge(candidate, reference, clips, baseline=None, num_clips=None, time_runs=0, **budgets): what "
    "engine_session opens and accuracy_baseline checks it against; paths from the project's root, budgets as "
    "in trtforge.CheckConfig"
)


@dataclass(frozen=True)
class _Gate:
    """What a test's marker says."""

    candidate: Path
    reference: Path
    clips: Path
    baseline: Path
    num_clips: int | None
    time_runs: int
    config: CheckConfig

    def load_clips(self) -> ClipSet:
        """Load the clips, or every n-th of them where fewer are wanted."""
        from trtforge.audio import ClipSet

        clips = ClipSet.load(self.clips)
        if self.num_clips is None:
            return clips
        return clips.subset(clips.ids[:: max(1, len(clips) // self.num_clips)][: self.num_clips])


class AccuracyBaseline:
    """A test's baseline; the fixture ``accuracy_baseline``.

    Attributes
    ----------
    path : the file that it is, or will be, in.
    """

    def __init__(self, gate: _Gate, request: pytest.FixtureRequest) -> None:
        self.path = gate.baseline
        self._gate, self._request = gate, request

    def check(self, candidate: Runner, *, timings: Timings | None = None) -> CheckResult | None:
        """Run a candidate on the marker's clips and fail the test where it is not shown to be as good.

        With ``--trtforge-update-baselines`` the baseline is written instead, and None returned.

        Parameters
        ----------
        candidate : anything that can be called with named arrays, such as ``engine_session``.
        timings : of reference and candidate; by default they are taken where the marker has ``time_runs``.
        """
        __tracebackhide__ = True
        from trtforge.checks import Baseline, judge
        from trtforge.errors import AccuracyError, BaselineError, ConfigError
        from trtforge.pipeline import evaluate_candidate, measure_baseline, time_candidate
        from trtforge.pipeline.reporting import environment

        gate, config = self._gate, self._request.config
        is_update = config.getoption(_UPDATE)
        if not is_update and not self.path.is_file():
            raise BaselineError(f"no baseline at {self.path}", hint=f"write it with pytest {_UPDATE}")
        baseline = None if is_update else Baseline.load(self.path)
        clips = gate.load_clips()
        report = evaluate_candidate(
            candidate, reference=gate.reference, clips=clips, name=gate.candidate.name
        )
        timed_on = None
        if timings is None and gate.time_runs:
            timings = time_candidate(gate.reference, candidate, clips, num_runs=gate.time_runs)
            timed_on = environment()["gpu"]
        if baseline is None:
            written, node = config.stash.setdefault(_WRITTEN, {}), self._request.node.nodeid
            if written.setdefault(self.path, node) != node:
                raise ConfigError(
                    f"{written[self.path]} and {node} have one baseline, {self.path}",
                    hint="give each a baseline of its own in its marker",
                )
            measure_baseline(report, timings=timings).save(self.path)
            return None
        result = judge(baseline, report, gate.config, timings=timings, timed_on=timed_on)
        self._request.node.user_properties.append(("trtforge_verdict", result.verdict))
        message = ""
        try:
            result.require()
        except AccuracyError as error:
            message = str(error)
        if message:  # out of the except block, or pytest shows it twice
            pytest.fail(message, pytrace=False)
        return result


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option that writes baselines."""
    parser.getgroup("trtforge").addoption(
        _UPDATE, action="store_true", help="write the baselines of trtforge's checks instead of checking"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the baselines that were written."""
    for path in config.stash.get(_WRITTEN, {}):
        terminalreporter.write_line(f"trtforge: baseline written to {path}; review it before you commit it")


@pytest.fixture
def engine_session(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Open the marker's candidate: an engine in a `Session`, a network in ONNX Runtime."""
    from trtforge.errors import ConfigError
    from trtforge.pipeline import open_runner

    gate = _gate(request)
    if not gate.candidate.is_file():
        raise ConfigError(f"no candidate at {gate.candidate}", hint="build it before the tests run")
    with ExitStack() as stack:
        # As `time_candidate` runs the reference.
        yield open_runner(gate.candidate, stack, num_threads=1 if gate.time_runs else None)


@pytest.fixture
def accuracy_baseline(request: pytest.FixtureRequest) -> AccuracyBaseline:
    """Take what was accepted for this test; by default from ``baselines/FILE.NAME.json`` beside its file."""
    return AccuracyBaseline(_gate(request), request)


def _gate(request: pytest.FixtureRequest) -> _Gate:
    from trtforge.checks import CheckConfig
    from trtforge.checks.decision import MIN_RUNS
    from trtforge.errors import ConfigError

    marker = request.node.get_closest_marker("trtforge")
    if marker is None:
        raise ConfigError(
            f"{request.node.name} has no marker to say what is checked",
            hint="mark it with pytest.mark.trtforge, and give candidate, reference and clips by name",
        )
    budgets = {field.name for field in fields(CheckConfig)}
    known = {"candidate", "reference", "clips", "baseline", "num_clips", "time_runs"}
    given = dict(marker.kwargs)
    missing = {"candidate", "reference", "clips"} - set(given)
    unknown = set(given) - known - budgets
    if marker.args or missing or unknown:
        what = "positional arguments" if marker.args else f"{', '.join(sorted(missing or unknown))}"
        raise ConfigError(
            f"the trtforge marker of {request.node.name} {'lacks' if missing else 'does not take'} {what}",
            hint=f"it takes {', '.join(sorted(known))}, and of budgets {', '.join(sorted(budgets))}",
        )
    for key in ("candidate", "reference", "clips"):
        if not isinstance(given[key], (str, os.PathLike)):
            raise ConfigError(f"{key} of the trtforge marker must be a path, got {given[key]!r}")
    for key in budgets & set(given):
        if isinstance(given[key], bool) or not isinstance(given[key], (int, float)):
            raise ConfigError(f"{key} of the trtforge marker must be a number, got {given[key]!r}")
    num_clips, time_runs = given.get("num_clips"), given.get("time_runs", 0)
    if num_clips is not None and (not isinstance(num_clips, int) or num_clips < 1):
        raise ConfigError(f"num_clips of the trtforge marker must be 1 or more, got {num_clips!r}")
    if time_runs and (not isinstance(time_runs, int) or time_runs < MIN_RUNS):
        raise ConfigError(f"time_runs of the trtforge marker must be {MIN_RUNS} or more, got {time_runs!r}")
    root = request.config.rootpath
    # The file's name, the class and the test's, without what file systems do not take.
    parts = [request.path.stem, *request.node.nodeid.partition("::")[2].split("::")]
    name = ".".join(re.sub(r"[^\w.-]+", "_", part).strip("_") for part in parts)
    default = request.path.parent / "baselines" / f"{name}.json"
    return _Gate(
        candidate=root / given["candidate"],
        reference=root / given["reference"],
        clips=root / given["clips"],
        baseline=root / given["baseline"] if given.get("baseline") else default,
        num_clips=num_clips,
        time_runs=time_runs,
        config=CheckConfig(**{key: value for key, value in given.items() if key in budgets}),
    )
