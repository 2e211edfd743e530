"""The pytest plugin: a project's accuracy test in three lines.

pytest loads it in every run, so it imports nothing but pytest and the standard library until a test asks for
one of its fixtures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trtforge.accuracy import AccuracyReport, Runner
    from trtforge.audio import ClipSet
    from trtforge.checks import CheckConfig, CheckResult, Timings

_UPDATE = "--trtforge-update-baselines"
# Property of a test's report, which a worker of pytest-xdist hands to the process that sums up.
_WRITTEN = "trtforge_baseline"
_PATHS = ("candidate", "reference", "clips", "baseline")
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
        """Load the clips, or so many from beginning to end where fewer are wanted."""
        from trtforge.audio import ClipSet

        clips = ClipSet.load(self.clips)
        count = min(self.num_clips or len(clips), len(clips))
        return clips.subset([clips.ids[index * len(clips) // count] for index in range(count)])


class AccuracyBaseline:
    """A test's baseline; the fixture ``accuracy_baseline``.

    Attributes
    ----------
    path : the file that it is, or will be, in.
    """

    def __init__(self, gate: _Gate, request: pytest.FixtureRequest) -> None:
        self.path = gate.baseline
        self._gate, self._request, self._is_written = gate, request, False

    def check(self, candidate: Runner, *, timings: Timings | None = None) -> CheckResult | None:
        """Run a candidate on the marker's clips and fail the test where it is not shown to be as good.

        With ``--trtforge-update-baselines`` the baseline is written instead, and None returned.

        Parameters
        ----------
        candidate : anything that can be called with named arrays, such as ``engine_session``.
        timings : of reference and candidate; by default they are taken where the marker has ``time_runs``.
        """
        __tracebackhide__ = True
        with _plain_errors():
            if self._request.config.getoption(_UPDATE):
                self._write(candidate, timings)
                return None
            result = self._judge(candidate, timings)
            self._request.node.user_properties.append(("trtforge_verdict", result.verdict))
            result.require()
        return result

    def _judge(self, candidate: Runner, timings: Timings | None) -> CheckResult:
        from trtforge.checks import Baseline, judge
        from trtforge.errors import BaselineError
        from trtforge.pipeline.reporting import environment

        if not self.path.is_file():
            raise BaselineError(f"no baseline at {self.path}", hint=f"write it with pytest {_UPDATE}")
        baseline = Baseline.load(self.path)
        timed_on = environment()["gpu"] if timings is None and self._gate.time_runs else None
        report, timings = self._measure(candidate, timings)
        return judge(baseline, report, self._gate.config, timings=timings, timed_on=timed_on)

    def _write(self, candidate: Runner, timings: Timings | None) -> None:
        from trtforge.errors import BaselineError, ConfigError
        from trtforge.pipeline import measure_baseline

        node = self._request.node
        # A worker of pytest-xdist collects the tests of all of them.
        for other in self._request.session.items:
            uses = "accuracy_baseline" in getattr(other, "fixturenames", ())
            if uses and other is not node and _baseline_path(other) == self.path:
                raise ConfigError(
                    f"{node.nodeid} and {other.nodeid} have one baseline, {self.path}",
                    hint="give each a baseline of its own in its marker",
                )
        if self._is_written:
            raise ConfigError(
                f"{node.nodeid} checks twice, and has one baseline",
                hint="let each candidate have a test of its own",
            )
        report, timings = self._measure(candidate, timings)
        try:
            measure_baseline(report, timings=timings).save(self.path)
        except OSError as error:
            raise BaselineError(
                f"the baseline cannot be written to {self.path}: {error.strerror}",
                hint="give one that can be written in the marker, by baseline",
            ) from error
        self._is_written = True
        node.user_properties.append((_WRITTEN, str(self.path)))

    def _measure(self, candidate: Runner, timings: Timings | None) -> tuple[AccuracyReport, Timings | None]:
        from trtforge.pipeline import evaluate_candidate, time_candidate

        gate = self._gate
        clips = gate.load_clips()
        report = evaluate_candidate(
            candidate, reference=gate.reference, clips=clips, name=gate.candidate.name
        )
        if timings is None and gate.time_runs:
            timings = time_candidate(gate.reference, candidate, clips, num_runs=gate.time_runs)
        return report, timings


@contextmanager
def _plain_errors() -> Iterator[None]:
    """End a test with the message of an error alone: where in trtforge it was raised says no more."""
    __tracebackhide__ = True
    from trtforge.errors import TrtforgeError

    try:
        yield
    except TrtforgeError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the option that writes baselines."""
    parser.getgroup("trtforge").addoption(
        _UPDATE, action="store_true", help="write the baselines of trtforge's checks instead of checking"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the baselines that were written."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    told = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    for path in dict.fromkeys(value for name, value in told if name == _WRITTEN):
        terminalreporter.write_line(f"trtforge: baseline written to {path}; review it before you commit it")


@pytest.fixture
def engine_session(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """Open the marker's candidate: an engine in a `Session`, a network in ONNX Runtime."""
    from trtforge.errors import ConfigError
    from trtforge.pipeline import open_runner

    with ExitStack() as stack:
        with _plain_errors():
            gate = _gate(request)
            if not gate.candidate.is_file():
                raise ConfigError(
                    f"no candidate at {gate.candidate}",
                    hint=f"build it before the tests run; paths start at {request.config.rootpath}",
                )
            # As `time_candidate` runs the reference.
            runner = open_runner(gate.candidate, stack, num_threads=1 if gate.time_runs else None)
        yield runner


@pytest.fixture
def accuracy_baseline(request: pytest.FixtureRequest) -> AccuracyBaseline:
    """Take what was accepted for this test; by default from ``baselines/FILE.NAME.json`` beside its file."""
    with _plain_errors():
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
    given = {key: value for key, value in given.items() if value is not None or key in _PATHS[:3]}
    for key in _PATHS:
        if key in given and not isinstance(given[key], (str, os.PathLike)):
            raise ConfigError(f"{key} of the trtforge marker must be a path, got {given[key]!r}")
    for key in budgets & set(given):
        if isinstance(given[key], bool) or not isinstance(given[key], (int, float)):
            raise ConfigError(f"{key} of the trtforge marker must be a number, got {given[key]!r}")
    num_clips, time_runs = given.get("num_clips"), given.get("time_runs", 0)
    if num_clips is not None and (type(num_clips) is not int or num_clips < 1):
        raise ConfigError(f"num_clips of the trtforge marker must be 1 or more, got {num_clips!r}")
    if time_runs and (not isinstance(time_runs, int) or time_runs < MIN_RUNS):
        raise ConfigError(f"time_runs of the trtforge marker must be {MIN_RUNS} or more, got {time_runs!r}")
    root = request.config.rootpath
    return _Gate(
        candidate=root / given["candidate"],
        reference=root / given["reference"],
        clips=root / given["clips"],
        baseline=_baseline_path(request.node),
        num_clips=num_clips,
        time_runs=time_runs,
        config=CheckConfig(**{key: value for key, value in given.items() if key in budgets}),
    )


def _baseline_path(item: pytest.Item) -> Path:
    """Return where a test's baseline is, by its marker or else by its name."""
    marker = item.get_closest_marker("trtforge")
    given = marker.kwargs.get("baseline") if marker is not None else None
    if given and isinstance(given, (str, os.PathLike)):
        return item.config.rootpath / given
    # The file's name, the class and the test's, without what file systems do not take.
    parts = [item.path.stem, *item.nodeid.partition("::")[2].split("::")]
    name = ".".join(re.sub(r"[^\w.-]+", "_", part).strip("_") for part in parts)
    return item.path.parent / "baselines" / f"{name}.json"
