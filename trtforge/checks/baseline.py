"""What an accepted candidate reached, clip by clip: a small file to be reviewed and committed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trtforge._files import read_json, sha256, write_text
from trtforge.accuracy import AccuracyReport, OutputMetrics, rate_interval
from trtforge.checks.timings import Timings
from trtforge.errors import BaselineError, ConfigError

FORMAT = "trtforge.baseline/1"
# An output that is as good as equal; 120 dB is past what float32 resolves.
_MAX_SNR_DB = 120.0
_MOST_WORDS = 1 << 31


@dataclass(frozen=True)
class BaselineClip:
    """What a candidate made of one clip.

    Parameters
    ----------
    words : reference words; None where nothing was decoded.
    errors : word errors; None where nothing was decoded.
    snr_db : output to its signal to noise ratio against the reference, in dB, -120 to 120.
    """

    words: int | None = None
    errors: int | None = None
    snr_db: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Baseline:
    """What an accepted candidate reached, and what on.

    Parameters
    ----------
    runner : name of the candidate.
    reference : name of the runner that its outputs are held against.
    clips : clip id to what the candidate made of it.
    feeds_sha256 : digest of what it was run on.
    normalization : what was done to texts, in words.
    texts_sha256 : digest of the clips' texts so normalised; empty where nothing was decoded.
    reference_sha256 : digest of the reference network, where it is known.
    ratios : candidate's time by the reference's in each run of timing; empty where none was taken.
    environment : machine and versions, for the reader.
    """

    runner: str
    reference: str
    clips: Mapping[str, BaselineClip]
    feeds_sha256: str
    normalization: str
    texts_sha256: str = ""
    reference_sha256: str = ""
    ratios: tuple[float, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_report(
        cls,
        report: AccuracyReport,
        *,
        runner: str | None = None,
        timings: Timings | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Baseline:
        """Take down what a runner reached.

        Parameters
        ----------
        report : of an evaluation.
        runner : which of its runners; the last by default.
        timings : of the reference and this runner.
        environment : machine and versions, for the reader.

        Raises
        ------
        ConfigError : there is no such runner, it or the reference gave values that are not finite, or the
            report has nothing of single clips.
        """
        name = report.runners[-1] if runner is None else runner
        if name not in report.runners:
            raise ConfigError(f"no runner {name!r} in this report; it has {list(report.runners)}")
        for each in (name, report.reference):
            if bad := report.nonfinite.get(each):
                raise ConfigError(
                    f"{each} gave values that are not finite on {len(bad)} clips, {bad[0]!r} first"
                )
        outputs = {clip.clip_id: clip.outputs.get(name, {}) for clip in report.clip_outputs}
        texts = {clip.clip_id: clip.hypotheses[name].words for clip in report.clips}
        ids = list(texts) or [clip_id for clip_id, metrics in outputs.items() if metrics]
        if not ids:
            raise ConfigError(
                f"the report says nothing of single clips for {name}",
                hint="evaluate a candidate beside its reference, on feeds that name their clips",
            )
        # An output whose rows are not clips may yet have as many of them as some feeds have clips.
        judged = set.intersection(*(set(outputs.get(clip_id, {})) for clip_id in ids))
        return cls(
            runner=name,
            reference=report.reference,
            clips={
                clip_id: BaselineClip(
                    texts[clip_id].num_reference if clip_id in texts else None,
                    texts[clip_id].num_errors if clip_id in texts else None,
                    {
                        output: _snr(metrics)
                        for output, metrics in outputs.get(clip_id, {}).items()
                        if output in judged
                    },
                )
                for clip_id in ids
            },
            feeds_sha256=report.feeds_sha256,
            normalization=report.normalization,
            texts_sha256=_texts_digest(report),
            reference_sha256=report.reference_sha256,
            ratios=tuple(round(ratio, 5) for ratio in timings.ratios) if timings else (),
            environment=dict(environment or {}),
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that the clips have an SNR of."""
        return tuple(next(iter(self.clips.values())).snr_db)

    def metrics(self) -> dict[str, Any]:
        """Return what the clips sum up to, with its spread: what a reviewer reads."""
        found: dict[str, Any] = {}
        rows = [(clip.errors, clip.words) for clip in self.clips.values() if clip.words is not None]
        if rows:
            errors, words = (np.array(column, np.int64) for column in zip(*rows, strict=True))
            interval = rate_interval(errors, words)
            found["wer"] = {
                "rate": round(float(errors.sum() / words.sum()), 6) if words.sum() else None,
                "interval": [round(interval.low, 6), round(interval.high, 6)] if interval else None,
                "errors": int(errors.sum()),
                "words": int(words.sum()),
            }
        for name in self.outputs:
            values = np.array([clip.snr_db[name] for clip in self.clips.values()])
            found.setdefault("snr_db", {})[name] = _spread(values, 2)
        if self.ratios:
            found["time_by_reference"] = _spread(np.array(self.ratios), 4)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the baseline as plain JSON values."""
        return {
            "format": FORMAT,
            "runner": self.runner,
            "reference": self.reference,
            "measured_on": {
                "num_clips": len(self.clips),
                "feeds_sha256": self.feeds_sha256,
                "normalization": self.normalization,
                "texts_sha256": self.texts_sha256,
                "reference_sha256": self.reference_sha256,
            },
            "metrics": self.metrics(),
            "environment": dict(self.environment),
            "ratios": list(self.ratios),
            "clips": [
                {
                    "id": clip_id,
                    **({} if clip.words is None else {"words": clip.words, "errors": clip.errors}),
                    **({"snr_db": dict(clip.snr_db)} if clip.snr_db else {}),
                }
                for clip_id, clip in self.clips.items()
            ],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the baseline as JSON, a line for each clip; an old file is replaced whole or not at all."""
        write_text(path, _to_text(self.to_json()))

    @classmethod
    def from_json(cls, value: Any, *, source: str = "value") -> Baseline:
        """Make the baseline of what `to_json` gave.

        Raises
        ------
        BaselineError : the value is no baseline, or damaged.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise BaselineError(f'{source} is no baseline: it lacks "format": "{FORMAT}"')
        try:
            clips = {str(row["id"]): _clip(row) for row in value["clips"]}
            if not clips or len(clips) != len(value["clips"]):
                raise ValueError("no clips, or one twice")
            _check_alike(clips, has_texts=bool(value["measured_on"]["texts_sha256"]))
            ratios = tuple(float(ratio) for ratio in value["ratios"])
            if not all(math.isfinite(ratio) and ratio > 0 for ratio in ratios):
                raise ValueError("a ratio of times is not positive")
            return cls(
                runner=str(value["runner"]),
                reference=str(value["reference"]),
                clips=clips,
                feeds_sha256=str(value["measured_on"]["feeds_sha256"]),
                normalization=str(value["measured_on"]["normalization"]),
                texts_sha256=str(value["measured_on"]["texts_sha256"]),
                reference_sha256=str(value["measured_on"]["reference_sha256"]),
                ratios=ratios,
                environment={str(key): str(text) for key, text in value["environment"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BaselineError(f"{source} is a damaged baseline: {error!r}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Baseline:
        """Read a baseline that `save` wrote.

        Raises
        ------
        BaselineError : the file is missing or no baseline.
        """
        value = read_json(path, what="baseline", error=BaselineError)
        return cls.from_json(value, source=os.fspath(path))


def _texts_digest(report: AccuracyReport) -> str:
    """Return the digest of what was said in each clip; empty where nothing was decoded."""
    said = sorted((clip.clip_id, clip.reference) for clip in report.clips)
    return sha256(json.dumps(said, ensure_ascii=False).encode()) if said else ""


def _snr(metrics: OutputMetrics) -> float:
    return round(min(max(metrics.snr_db, -_MAX_SNR_DB), _MAX_SNR_DB), 2)


def _clip(row: Mapping[str, Any]) -> BaselineClip:
    snr_db = {str(name): float(number) for name, number in row.get("snr_db", {}).items()}
    if not all(abs(number) <= _MAX_SNR_DB for number in snr_db.values()):
        raise ValueError(f"an SNR of {row['id']} is not within {_MAX_SNR_DB:g} dB")
    if "words" not in row and "errors" not in row:
        return BaselineClip(snr_db=snr_db)
    words, errors = row["words"], row["errors"]
    if not all(type(count) is int and 0 <= count <= _MOST_WORDS for count in (words, errors)):
        raise ValueError(f"a count of {row['id']} is no whole number, negative, or more than any clip has")
    return BaselineClip(words, errors, snr_db)


def _check_alike(clips: Mapping[str, BaselineClip], *, has_texts: bool) -> None:
    """Refuse clips that lack what others have: it would be judged of none, or taken for no errors."""
    outputs = set(next(iter(clips.values())).snr_db)
    for clip_id, clip in clips.items():
        if (clip.words is not None) != has_texts:
            raise ValueError(
                f"{clip_id} {'lacks' if has_texts else 'has'} words, and texts_sha256 says otherwise"
            )
        if differing := outputs ^ set(clip.snr_db):
            raise ValueError(
                f"{clip_id} and the first clip differ in outputs: {', '.join(sorted(differing))}"
            )


def _spread(values: np.ndarray[Any, np.dtype[np.float64]], digits: int) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    figures = {"mean": values.mean(), "p5": low, "p50": middle, "p95": high}
    return {key: round(float(figure), digits) for key, figure in figures.items()}


def _to_text(value: Mapping[str, Any]) -> str:
    """Set one line for each clip, so that a review shows which clips changed."""
    parts = []
    for key, entry in value.items():
        if key == "clips":
            rows = ",\n    ".join(json.dumps(row, allow_nan=False, ensure_ascii=False) for row in entry)
            text = f"[\n    {rows}\n  ]"
        elif isinstance(entry, dict):
            text = json.dumps(entry, indent=2, allow_nan=False, ensure_ascii=False).replace("\n", "\n  ")
        else:
            text = json.dumps(entry, allow_nan=False, ensure_ascii=False)
        parts.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
