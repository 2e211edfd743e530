"""Audit a calibration set: what it lacks, what its scales hang on, and whether it is large enough."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtforge._files import write_json
from trtforge.calibration.cells import Alias, Cell, Coverage, FactorPair, check_min_clips, coverage
from trtforge.calibration.choose import check_method, choose
from trtforge.calibration.clip_observations import ClipObservations
from trtforge.calibration.convergence import Convergence, Drift, convergence
from trtforge.calibration.influence import Influence, influences
from trtforge.calibration.orders import Strata
from trtforge.calibration.saturation import Saturation, check_clipped_share, saturations
from trtforge.errors import ConfigError, ReportError

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMAT = "trtforge.audit/1"


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Parameters
    ----------
    model_sha256, feeds_sha256 : digests of the network and of the feeds.
    num_clips : clips that were observed.
    method : how the thresholds were chosen, but for ``convergence``, which has several.
    coverage : combinations of two strata with too few clips.
    influences : change of each threshold as each stratum is left out, the largest first.
    max_change : relative change beyond which one stratum decides a threshold, if chance does less.
    saturations : clips of which too much is clipped, the most clipped first.
    max_clipped_share : share of a clip's values of one tensor that may be clipped.
    convergence : drift of the thresholds by number of clips; None where it was not asked for.
    rejected : clips that were left out, by id, with the reason.
    quiet : clips that lie below -60 dBFS from end to end, by id, with their largest magnitude; 1 is full
        scale.
    """

    model_sha256: str
    feeds_sha256: str
    num_clips: int
    method: str
    coverage: Coverage
    influences: tuple[Influence, ...]
    max_change: float
    saturations: tuple[Saturation, ...]
    max_clipped_share: float
    convergence: Convergence | None = None
    rejected: Mapping[str, str] = field(default_factory=dict, hash=False)
    quiet: Mapping[str, float] = field(default_factory=dict, hash=False)

    @property
    def deciding(self) -> tuple[Influence, ...]:
        """For each tensor that one stratum decides, the stratum that changes it most."""
        first: dict[str, Influence] = {}
        for influence in self.influences:
            if influence.decides(self.max_change):
                first.setdefault(influence.tensor, influence)
        return tuple(first.values())

    @property
    def num_tensors(self) -> int:
        """Number of tensors whose thresholds were chosen without each stratum."""
        return len({influence.tensor for influence in self.influences})

    def __rich__(self) -> RenderableType:
        from trtforge.calibration.audit_tables import render_tables

        return render_tables(self)

    def __repr__(self) -> str:
        return (
            f"AuditReport({self.num_clips} clips, method={self.method!r}, "
            f"{len(self.coverage.cells)} short cells, "
            f"{len(self.deciding)} of {self.num_tensors} tensors decided by one stratum, "
            f"{len(self.saturations)} saturating clips, {len(self.quiet)} nearly silent, "
            f"{len(self.rejected)} rejected)"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        value: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        if self.convergence is not None:
            value["convergence"]["enough"] = [
                {"order": order, "method": method, "num_clips": self.convergence.enough(order, method)}
                for order in self.convergence.orders
                for method in self.convergence.methods
            ]
        return value

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON; an existing file is replaced whole or not at all."""
        write_json(Path(path), self.to_json())

    @classmethod
    def from_json(cls, value: Any, *, source: str = "value") -> AuditReport:
        """Make the report of what `to_json` gave.

        Raises
        ------
        ReportError : the value is of another kind, or damaged.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ReportError(f'{source} is not an audit report: it lacks "format": "{FORMAT}"')
        try:
            return _from_json(value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ReportError(f"{source} is a damaged audit report: {error!r}") from error


def audit_observations(
    observed: ClipObservations,
    strata: Strata,
    *,
    method: str = "entropy",
    percentile: float = 99.99,
    orders: Mapping[str, Sequence[Sequence[str]]] | None = None,
    min_clips: int = 2,
    max_change: float = 0.1,
    max_clipped_share: float = 0.001,
) -> AuditReport:
    """Audit the clips that were observed: a pure function of the counts.

    Parameters
    ----------
    observed : what each clip gave, from `collect_per_clip`.
    strata : clip id to factor to value.
    method, percentile : of choosing the thresholds, as for `choose`.
    orders : kind to orders of clips, for `convergence`; none are tried where it is left out.
    min_clips : clips that each combination of two strata should have.
    max_change : relative change beyond which one stratum decides a threshold.
    max_clipped_share : share of a clip's values of one tensor that may lie above its threshold.

    Raises
    ------
    ConfigError : a setting is out of range, or the method is unknown.
    CalibrationError : a tensor held no values, in all clips or outside one stratum.
    """
    check_audit(method, percentile, min_clips, max_change, max_clipped_share)
    whole = observed.merged()
    scales = choose(whole, method, percentile=percentile)
    present = {clip: strata.get(clip, {}) for clip in observed.clip_ids}
    return AuditReport(
        model_sha256=observed.model_sha256,
        feeds_sha256=observed.feeds_sha256,
        num_clips=len(observed),
        method=method,
        coverage=coverage(present, min_clips=min_clips),
        influences=influences(observed, present, scales, percentile=percentile),
        max_change=max_change,
        saturations=saturations(observed, scales, max_clipped_share=max_clipped_share),
        max_clipped_share=max_clipped_share,
        convergence=convergence(observed, orders, percentile=percentile) if orders else None,
        rejected=dict(observed.rejected),
        quiet=dict(observed.quiet),
    )


def check_audit(
    method: str, percentile: float, min_clips: int, max_change: float, max_clipped_share: float
) -> None:
    """Refuse at once what `audit_observations` would refuse after the clips have run.

    Raises
    ------
    ConfigError : a setting is out of range, or the method is unknown.
    """
    check_method(method, percentile)
    check_min_clips(min_clips)
    if not max_change > 0:
        raise ConfigError(f"max_change must be above 0, got {max_change!r}", settings=("max_change",))
    check_clipped_share(max_clipped_share)


def _from_json(value: dict[str, Any]) -> AuditReport:
    cover, grown = value["coverage"], value["convergence"]
    return AuditReport(
        model_sha256=str(value["model_sha256"]),
        feeds_sha256=str(value["feeds_sha256"]),
        num_clips=int(value["num_clips"]),
        method=str(value["method"]),
        coverage=Coverage(
            min_clips=int(cover["min_clips"]),
            pairs=tuple(FactorPair(**{**pair, "factors": tuple(pair["factors"])}) for pair in cover["pairs"]),
            cells=tuple(Cell(**_tuples(cell)) for cell in cover["cells"]),
            aliases=tuple(Alias(**_tuples(alias)) for alias in cover["aliases"]),
        ),
        influences=tuple(Influence(**influence) for influence in value["influences"]),
        max_change=float(value["max_change"]),
        saturations=tuple(Saturation(**saturation) for saturation in value["saturations"]),
        max_clipped_share=float(value["max_clipped_share"]),
        convergence=grown
        and Convergence(
            num_clips=int(grown["num_clips"]),
            drifts=tuple(Drift(**drift) for drift in grown["drifts"]),
            max_median=float(grown["max_median"]),
            max_p99=float(grown["max_p99"]),
        ),
        rejected={str(clip): str(reason) for clip, reason in value["rejected"].items()},
        quiet={str(clip): float(peak) for clip, peak in value.get("quiet", {}).items()},
    )


def _tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    return {**value, "factors": tuple(value["factors"]), "values": tuple(value["values"])}
