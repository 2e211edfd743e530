"""What an evaluation found: error rates, output differences and every clip behind them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trtforge._files import read_json, write_json
from trtforge.accuracy.bootstrap import BootstrapConfig
from trtforge.accuracy.metrics import OutputMetrics
from trtforge.accuracy.summary import (
    ClipOutputs,
    ClipResult,
    Stratum,
    summarize_clips,
    summarize_strata,
    worst_clips,
)
from trtforge.errors import ConfigError, ReportError

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True, repr=False)
class AccuracyReport:
    """Accuracy of one or more runners on the same clips; the first runner is the reference.

    Parameters
    ----------
    runners : names, the reference first.
    num_clips : clips that were run.
    outputs : candidate to output name to its metrics against the reference.
    overall : error rates over all clips; None where nothing was decoded.
    strata : error rates by factor and value.
    clips : one row for each clip, in the order of the feeds; empty where nothing was decoded.
    nonfinite : runner to the ids of clips with NaN or infinite outputs; these count as not recognised at all.
    rejected : clips that could not be used, by id, with the reason; they count nowhere.
    quiet : clips that are nearly silent, by id, with their largest magnitude, full scale 1; they count too.
    normalization : what was done to texts before they were compared, in words.
    bootstrap : how the intervals were made.
    clip_outputs : one row for each clip that a feed names, with the metrics of its outputs alone; none for a
        feed whose outputs have not one row for each of its clips.
    feeds_sha256 : digest of what the runners were run on.
    reference_sha256 : digest of the reference, where it is a network.
    """

    runners: tuple[str, ...]
    num_clips: int
    outputs: Mapping[str, Mapping[str, OutputMetrics]]
    overall: Stratum | None = None
    strata: tuple[Stratum, ...] = ()
    clips: tuple[ClipResult, ...] = ()
    nonfinite: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    quiet: Mapping[str, float] = field(default_factory=dict)
    normalization: str = "lower case, white space merged"
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    clip_outputs: tuple[ClipOutputs, ...] = ()
    feeds_sha256: str = ""
    reference_sha256: str = ""

    @classmethod
    def from_clips(cls, clips: tuple[ClipResult, ...], **settings: Any) -> AccuracyReport:
        """Sum clips up, overall and by stratum, into a report; the other fields are taken as given."""
        config = settings.setdefault("bootstrap", BootstrapConfig())
        if clips:
            settings["overall"] = summarize_clips(clips, config)
            settings["strata"] = summarize_strata(clips, config)
        return cls(clips=clips, **settings)

    @property
    def reference(self) -> str:
        """Name of the reference runner."""
        return self.runners[0]

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of the runners that are held against the reference."""
        return self.runners[1:]

    def worst(self, count: int = 10, *, runner: str | None = None) -> list[ClipResult]:
        """Return the clips with the most word errors added over the reference.

        Parameters
        ----------
        count : how many at most; clips without an error are never among them.
        runner : the runner in question; the last one by default.

        Raises
        ------
        ConfigError : there is no such runner.
        """
        if runner is not None and runner not in self.runners:
            raise ConfigError(f"no runner {runner!r} in this report; it has {list(self.runners)}")
        return worst_clips(self.clips, runner or self.runners[-1], count)

    def require(
        self,
        wer_increase: float = 0.01,
        stratum_wer_increase: float = 0.025,
        min_clips: int = 30,
        runner: str | None = None,
    ) -> None:
        """Insist that recognition got no worse than a budget allows.

        Parameters
        ----------
        wer_increase : largest WER increase over all clips, as a fraction: 0.01 is one point.
        stratum_wer_increase : largest WER increase in any stratum of ``min_clips`` or more clips.
        min_clips : smaller strata are not judged; their rates are too uncertain.
        runner : the candidate to judge; all of them by default.

        Raises
        ------
        AccuracyError : a candidate exceeds a budget, or gave outputs that are not finite.
        ConfigError : there is no such candidate, nothing was decoded, or a budget is not a number.
        """
        from trtforge.accuracy.requirement import check_requirement

        check_requirement(self, wer_increase, stratum_wer_increase, min_clips, runner)

    def table(self) -> Group:
        """Return tables of the overall results and of every stratum, for a terminal."""
        from trtforge.accuracy.tables import render_tables

        return render_tables(self)

    def __rich__(self) -> Group:
        return self.table()

    def __repr__(self) -> str:
        parts = [f"{self.num_clips} clips", f"{len(self.strata)} strata"]
        if self.overall is not None:
            rates = [f"{name} {100 * result.wer.rate:.2f} %" for name, result in self.overall.runners.items()]
            parts.append("WER " + ", ".join(rates))
        return f"AccuracyReport({'; '.join(parts)})"

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values; all rates are fractions."""
        from trtforge.accuracy.serialize import report_to_json

        return report_to_json(self)

    @classmethod
    def from_json(cls, value: Any, *, source: str = "value") -> AccuracyReport:
        """Make the report of what `to_json` gave.

        Raises
        ------
        ReportError : the value is not an accuracy report.
        """
        from trtforge.accuracy.serialize import report_from_json

        return report_from_json(value, source=source)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON; an existing file is replaced whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AccuracyReport:
        """Read a report that `save` wrote.

        Raises
        ------
        ReportError : the file is missing or not an accuracy report.
        """
        value = read_json(path, what="accuracy report", error=ReportError)
        return cls.from_json(value, source=os.fspath(path))
