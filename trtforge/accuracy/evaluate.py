"""Run several runners over the same clips and compare what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trtforge.accuracy.bootstrap import BootstrapConfig
from trtforge.accuracy.metrics import OutputMetrics, measure_output
from trtforge.accuracy.report import AccuracyReport
from trtforge.accuracy.summary import ClipHypothesis, ClipOutputs, ClipResult
from trtforge.accuracy.wer import Normalize, character_errors, normalize_text, word_errors
from trtforge.errors import ConfigError, ExecutionError, InputError
from trtforge.feeds import Arrays, Feed, Feeds

Runner = Callable[[Arrays], Arrays]
Outputs = Mapping[str, NDArray[Any]]
Decode = Callable[[Outputs, Sequence[int]], list[str]]
OutputLengths = Callable[[str, Sequence[int]], Sequence[int] | None]


def evaluate(
    runners: Mapping[str, Runner],
    feeds: Feeds,
    *,
    decode: Decode | None = None,
    references: Mapping[str, str] | None = None,
    strata: Mapping[str, Mapping[str, str]] | None = None,
    output_lengths: OutputLengths | None = None,
    normalize: Normalize = normalize_text,
    on_nonfinite: Literal["raise", "report"] = "raise",
    bootstrap: BootstrapConfig | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> AccuracyReport:
    """Compare runners on the same feeds, each run once and none of its outputs kept.

    Parameters
    ----------
    runners : name to callable from input arrays to output arrays, batch first; the first is the reference.
    feeds : what they are run on; what they list as ``rejected`` or ``quiet`` afterwards is in the report.
    decode : reads one text for each row from outputs and true lengths in frames, as `CtcDecoder.decode` does;
        None compares outputs alone.
    references : clip id to what was said; needed with ``decode``.
    strata : clip id to its factors and their values; clips that are not listed count only overall.
    output_lengths : says from an output's name and the true lengths in frames how much of each row along the
        second axis is signal, None for all of it, as `CtcDecoder.output_lengths` does. By default all of an
        output is compared, what stands for padding too.
    normalize : applied to references and hypotheses before errors are counted.
    on_nonfinite : ``raise`` stops at the first output that is NaN or infinite; ``report`` lists the clip,
        leaves those values out of the metrics and counts its hypothesis as empty.
    bootstrap : how confidence intervals are made.
    on_progress : called with clips done and clips in all after each batch.

    Raises
    ------
    ConfigError : no runner, or ``decode`` without ``references``.
    InputError : a clip has no reference or comes twice, rows and ids do not match, or two runners give
        outputs of other names or shapes.
    ExecutionError : an output is not finite; the message names runner, output and clips.
    """
    if not runners:
        raise ConfigError("no runner to evaluate", hint='pass {"fp32": reference.run, "int8": candidate.run}')
    if decode is not None and not references:
        raise ConfigError("decode was given without references", hint="map each clip id to what was said")
    if on_nonfinite not in ("raise", "report"):
        raise ConfigError(f"on_nonfinite must be 'raise' or 'report', got {on_nonfinite!r}")
    run = _Run(runners, decode, references or {}, strata or {}, output_lengths, normalize, on_nonfinite)
    num_done = 0
    for feed in feeds:
        run.add(feed)
        num_done += max(1, len(feed.clip_ids))
        if on_progress is not None:
            on_progress(num_done, len(feeds))
    if num_done == 0:
        raise InputError("the feeds hold no clip to evaluate")
    return AccuracyReport.from_clips(
        tuple(run.clips),
        runners=tuple(runners),
        num_clips=num_done,
        outputs=run.metrics,
        rejected=dict(getattr(feeds, "rejected", {})),
        quiet=dict(getattr(feeds, "quiet", {})),
        nonfinite={name: tuple(ids) for name, ids in run.nonfinite.items()},
        normalization=_describe(normalize),
        bootstrap=bootstrap or BootstrapConfig(),
        clip_outputs=tuple(run.clip_outputs),
        feeds_sha256=feeds.digest,
    )


@dataclass
class _Run:
    """What has been found so far; grows by one feed at a time."""

    runners: Mapping[str, Runner]
    decode: Decode | None
    references: Mapping[str, str]
    strata: Mapping[str, Mapping[str, str]]
    output_lengths: OutputLengths | None
    normalize: Normalize
    on_nonfinite: str
    clips: list[ClipResult] = field(default_factory=list)
    metrics: dict[str, dict[str, OutputMetrics]] = field(default_factory=dict)
    clip_outputs: list[ClipOutputs] = field(default_factory=list)
    nonfinite: dict[str, list[str]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def add(self, feed: Feed) -> None:
        """Run one feed through every runner and count what comes out."""
        self._check_ids(feed)
        reference, *candidates = self.runners
        outputs = {name: self._run(name, feed) for name in self.runners}
        bad = {name: self._nonfinite_rows(name, feed, outputs[name]) for name in self.runners}
        rows: list[dict[str, dict[str, OutputMetrics]]] = [{} for _ in feed.clip_ids]
        for name in candidates:
            _check_match(reference, outputs[reference], name, outputs[name])
            sums = self.metrics.setdefault(name, {})
            for output in outputs[reference]:
                parts = self._measure(output, feed, outputs[reference][output], outputs[name][output])
                sums[output] = sum(parts, start=sums.get(output, OutputMetrics()))
                if len(parts) == len(rows):
                    for clip, part in zip(rows, parts, strict=True):
                        clip.setdefault(name, {})[output] = part
        self.clip_outputs += [
            ClipOutputs(clip_id, row) for clip_id, row in zip(feed.clip_ids, rows, strict=True) if row
        ]
        if self.decode is not None:
            texts = {name: self._texts(name, feed, outputs[name], bad[name]) for name in self.runners}
            for row, clip_id in enumerate(feed.clip_ids):
                self.clips.append(self._clip(clip_id, {name: texts[name][row] for name in texts}))

    def _check_ids(self, feed: Feed) -> None:
        for clip_id in feed.clip_ids:
            if clip_id in self.seen:
                raise InputError(f"clip {clip_id!r} comes twice in the feeds; each must be counted once")
            self.seen.add(clip_id)
        if self.decode is None:
            return
        missing = [clip_id for clip_id in feed.clip_ids if clip_id not in self.references]
        if missing or not feed.clip_ids:
            what = f"clip {missing[0]!r} has no reference text" if missing else "a feed names no clips"
            raise InputError(what, hint="references maps each clip id of the feeds to what was said")

    def _run(self, name: str, feed: Feed) -> dict[str, NDArray[Any]]:
        given = self.runners[name](feed.arrays)
        if not isinstance(given, Mapping):
            raise InputError(
                f"runner {name!r} gave {type(given).__name__}, and no mapping of output name to array"
            )
        if not given:
            raise InputError(f"runner {name!r} gave no outputs")
        return {output: _numbers(array, output, name) for output, array in given.items()}

    def _nonfinite_rows(self, name: str, feed: Feed, outputs: Outputs) -> set[int]:
        rows: set[int] = set()
        for output, array in outputs.items():
            if not np.issubdtype(array.dtype, np.floating) or np.isfinite(array).all():
                continue
            here = _bad_rows(array, len(feed.clip_ids))
            clips = [feed.clip_ids[row] for row in here] or ["unnamed clips"]
            if self.on_nonfinite == "raise":
                raise ExecutionError(
                    f"output {output!r} of runner {name!r} is NaN or infinite for {', '.join(clips)}",
                    hint='on_nonfinite="report" lists such clips in the report and goes on',
                    settings=("on_nonfinite",),
                )
            rows.update(here)
            known = self.nonfinite.setdefault(name, [])
            known.extend(clip for clip in clips if clip not in known)
        return rows

    def _measure(self, output: str, feed: Feed, x: NDArray[Any], y: NDArray[Any]) -> list[OutputMetrics]:
        """Measure each row alone, up to its true length, or all at once where rows are not clips."""
        num_rows = len(feed.clip_ids) or len(feed.num_frames)
        if x.ndim == 0 or x.shape[0] != num_rows:
            return [measure_output(x, y)]
        lengths = (
            self.output_lengths(output, feed.num_frames) if self.output_lengths and feed.num_frames else None
        )
        if lengths is None:
            return [measure_output(x[row : row + 1], y[row : row + 1]) for row in range(num_rows)]
        return [measure_output(x[row, :length], y[row, :length]) for row, length in enumerate(lengths)]

    def _texts(self, name: str, feed: Feed, outputs: Outputs, bad: set[int]) -> list[str]:
        assert self.decode is not None  # noqa: S101 - narrows the type; the caller has checked
        if bad:
            outputs = {output: np.nan_to_num(array) for output, array in outputs.items()}
        texts = self.decode(outputs, feed.num_frames)
        if len(texts) != len(feed.clip_ids):
            raise InputError(
                f"decoding {name!r} gave {len(texts)} texts for {len(feed.clip_ids)} clips of a feed"
            )
        return ["" if row in bad else text for row, text in enumerate(texts)]

    def _clip(self, clip_id: str, texts: Mapping[str, str]) -> ClipResult:
        said = " ".join(self.normalize(self.references[clip_id]).split())
        hypotheses = {}
        for name, text in texts.items():
            heard = " ".join(self.normalize(text).split())
            words, characters = (
                word_errors(said, heard, normalize=str),
                character_errors(said, heard, normalize=str),
            )
            hypotheses[name] = ClipHypothesis(heard, words, characters)
        return ClipResult(clip_id, said, hypotheses, dict(self.strata.get(clip_id, {})))


def _numbers(values: Any, output: str, runner: str) -> NDArray[Any]:
    """Return an output as an array of a dtype that NumPy reckons with; narrow floats become FP32."""
    try:
        array = np.asarray(values)
        # The floats of ml_dtypes, of which NumPy knows neither that they are such nor which are NaN.
        array = array.astype(np.float32) if array.dtype.kind == "V" else array
    except (TypeError, ValueError) as error:
        raise InputError(f"output {output!r} of runner {runner!r} is no array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"output {output!r} of runner {runner!r} is of {array.dtype}, and only real numbers are compared",
            hint="give real and imaginary parts as two outputs" if array.dtype.kind == "c" else None,
        )
    return array


def _bad_rows(array: NDArray[Any], num_rows: int) -> list[int]:
    if array.ndim == 0 or array.shape[0] != num_rows:
        return list(range(num_rows))
    return [row for row in range(num_rows) if not np.isfinite(array[row]).all()]


def _check_match(reference: str, expected: Outputs, name: str, outputs: Outputs) -> None:
    if set(expected) != set(outputs):
        raise InputError(
            f"runner {reference!r} gives outputs {sorted(expected)}, {name!r} gives {sorted(outputs)}",
            hint="every output must have its counterpart; rename or leave out what is not compared",
        )
    for output, array in expected.items():
        if array.shape != outputs[output].shape:
            raise InputError(
                f"output {output!r} has shape {list(array.shape)} from {reference!r} and "
                f"{list(outputs[output].shape)} from {name!r}"
            )


def _describe(normalize: Normalize) -> str:
    if normalize is normalize_text:
        return "lower case, white space merged"
    return f"{getattr(normalize, '__name__', type(normalize).__name__)}, then white space merged"
