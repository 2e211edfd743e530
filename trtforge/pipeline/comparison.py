"""Hold one runner against another, on any feeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from trtforge._progress import OnProgress
from trtforge.accuracy import AccuracyReport, BootstrapConfig, normalize_text
from trtforge.accuracy import evaluate as evaluate_runners
from trtforge.feeds import Arrays, Feeds, as_feeds
from trtforge.pipeline.evaluation import network_digest, open_runner

if TYPE_CHECKING:
    from trtforge.pipeline.evaluation import Contender
    from trtforge.speech import CtcDecoder


def compare(
    reference: Contender,
    candidate: Contender,
    feeds: Feeds | Sequence[Arrays],
    *,
    decoder: CtcDecoder | None = None,
    references: Mapping[str, str] | None = None,
    strata: Mapping[str, Mapping[str, str]] | None = None,
    normalize: Callable[[str], str] = normalize_text,
    on_nonfinite: Literal["raise", "report"] = "raise",
    bootstrap: BootstrapConfig | None = None,
    on_progress: OnProgress | None = None,
) -> AccuracyReport:
    """Run two runners on the same feeds and say how far the candidate is from the reference.

    Parameters
    ----------
    reference : network (path or in memory; run by ONNX Runtime), engine (path ending in ``.engine``, or an
        `Engine`), or anything that can be called with named arrays: an open `Session`, a `TorchRunner`.
    candidate : likewise; called ``candidate`` in the report.
    feeds : what both are run on, such as ``clips.feeds(features)``, or a list of mappings of input name to
        array.
    decoder : how output is read as text, and how much of it is no padding; None compares outputs alone.
    references : clip id to what was said; by default the texts of the clips that the feeds are made of.
    strata : clip id to its factors and their values; by default those of the clips.
    normalize : applied to references and hypotheses before errors are counted; the report names it.
    on_nonfinite : ``raise``, or ``report`` to list clips with NaN or infinite outputs and go on.
    bootstrap : how confidence intervals are made.
    on_progress : called with clips done and clips in all.

    Returns
    -------
    For each output the largest and mean absolute and relative error, SNR, cosine and argmax agreement, over
    all clips (`AccuracyReport.outputs`) and of each (`clip_outputs`). With a decoder also word and character
    error rates, overall and by stratum, the increase with its paired interval and p-value, each clip's
    hypotheses, and the `worst` clips.

    Raises
    ------
    ConfigError : a decoder is given, and no text of any clip is known.
    InputError : the two give outputs of other names or shapes; a clip has no text, or comes twice.
    ExecutionError : an output is not finite.
    NoGpuError : one is an engine and there is no GPU.
    """
    source = as_feeds(feeds)
    clips = getattr(source, "clips", None)
    if decoder is not None and clips is not None:
        references = clips.texts() if references is None else references
        strata = clips.strata() if strata is None else strata
    with ExitStack() as stack:
        runners = {
            name: open_runner(contender, stack)
            for name, contender in (("reference", reference), ("candidate", candidate))
        }
        report = evaluate_runners(
            runners,
            source,
            decode=None if decoder is None else decoder.decode,
            references=references,
            strata=strata,
            output_lengths=None if decoder is None else decoder.output_lengths,
            normalize=normalize,
            on_nonfinite=on_nonfinite,
            bootstrap=bootstrap,
            on_progress=on_progress,
        )
    return replace(report, reference_sha256=network_digest(reference))
