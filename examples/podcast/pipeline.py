"""The whole way, from a recording to the bundle that is published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from examples.podcast.bundle import KEPT, check_folder, write_bundle
from examples.podcast.chapters import find_chapters
from examples.podcast.decoding import converted_file, decode, is_whole, readable
from examples.podcast.episode import FORMAT, Episode
from examples.podcast.keywords import find_keywords
from examples.podcast.recognition import CtcRecognizer, Recognizer, transcribe
from examples.podcast.records import (
    Chapter,
    Keyword,
    Mood,
    Region,
    Segment,
    Source,
    Subtitles,
    Summary,
    Transcript,
    Translation,
)
from examples.podcast.segments import segment
from examples.podcast.sentiment import Lexicon, Sentiment
from examples.podcast.settings import Settings, Show, check_languages
from examples.podcast.speech_regions import find_speech
from examples.podcast.stage_store import StageStore
from examples.podcast.subtitles import make_subtitles, translated_subtitles
from examples.podcast.summary import Summariser, summarise
from examples.podcast.translating import Interpreter, translate
from examples.podcast.validate import Check, validate_bundle
from trtforge._files import file_sha256
from trtforge._progress import Stages
from trtforge.errors import ClipError, ConfigError

_MAX_REGION_SECONDS = 20.0
_MUCH_CLIPPED = 0.01


@dataclass(frozen=True)
class Tools:
    """The networks that do the work.

    Parameters
    ----------
    recognizer : the bundled one where None.
    sentiment : VADER's lexicon where None.
    summariser : writes the summary; the most central sentences are taken where None.
    interpreters : one for each language to translate into; none leaves translation out.
    """

    recognizer: Recognizer | None = None
    sentiment: Sentiment | None = None
    summariser: Summariser | None = None
    interpreters: Sequence[Interpreter] = ()


@dataclass(frozen=True)
class Result:
    """What a run gave.

    Parameters
    ----------
    episode : what was found.
    transcript : as it was recognised, before terms were written.
    subtitles : of each language.
    folder : the bundle.
    manifest : its files.
    checks : what validation found.
    seconds : stage to wall-clock time.
    kept : stages whose results were there from an earlier run.
    """

    episode: Episode
    transcript: Transcript
    subtitles: tuple[Subtitles, ...]
    folder: Path
    manifest: dict[str, Any]
    checks: tuple[Check, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    kept: tuple[str, ...] = ()


def run(
    recording: Path,
    output: Path,
    *,
    show: Show | None = None,
    settings: Settings | None = None,
    tools: Tools | None = None,
    console: Console | None = None,
) -> Result:
    """Make a bundle of a recording.

    A stage whose inputs and settings have not changed since an earlier run into the same folder is read from
    there. Of the audio no more than a region of speech or a block is held at a time.

    Parameters
    ----------
    recording : audio in any format that soundfile or ffmpeg reads, up to four hours.
    output : the bundle's folder; results of stages are kept in ``.stages`` inside it.
    show, settings, tools : defaults where None.
    console : where progress is shown; None shows nothing.

    Raises
    ------
    ClipError : the recording cannot be read, nobody speaks in it, or its language is not the recogniser's.
    ConfigError : the cover or a setting is wrong, the output folder holds what is not ours, another run is at
        work in it, or two transcripts would have one language.
    """
    show, settings, tools = show or Show(), settings or Settings(), tools or Tools()
    if not recording.is_file():
        raise ClipError(f"no recording at {recording}", clip_id=recording.name)
    check_folder(output, recording)
    with ExitStack() as stack:
        recognizer = tools.recognizer or stack.enter_context(closing(CtcRecognizer()))
        check_languages([recognizer.language, *(one.language for one in tools.interpreters)])
        stack.enter_context(_alone(output))
        stack.callback(converted_file(output / KEPT).unlink, missing_ok=True)
        return _run(recording, output, show, settings, tools, recognizer, Stages(console))


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Keep other runs out of a folder."""
    from filelock import FileLock, Timeout

    (output / KEPT).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / KEPT / "lock", timeout=0):
            yield
    except Timeout:
        raise ConfigError(
            f"another run is at work in {output}", hint="wait for it, or take another folder"
        ) from None


def _run(
    recording: Path,
    output: Path,
    show: Show,
    settings: Settings,
    tools: Tools,
    recognizer: Recognizer,
    stages: Stages,
) -> Result:
    store = StageStore(output / KEPT, stages)
    digest = file_sha256(recording)
    sound, audio = _decoded(store, recording, digest)
    regions = store.stage(
        "speech",
        tuple[Region, ...],
        {"audio": digest, "pause": settings.pause_seconds},
        lambda stage: find_speech(
            audio, pause_seconds=settings.pause_seconds, max_seconds=_MAX_REGION_SECONDS, on_progress=stage
        ),
        note=lambda found: f"{len(found)} regions, {sum(r.end - r.start for r in found):.0f} s",
    )
    transcript = store.stage(
        "transcribe",
        Transcript,
        {
            "audio": digest,
            "regions": regions,
            "recognizer": recognizer.digest,
            "language": recognizer.language,
        },
        lambda stage: transcribe(audio, regions, recognizer, stage),
        note=lambda found: f"{sum(len(p.words) for p in found.passages)} words by {found.recognizer}",
    )
    episode = _understood(store, sound, transcript, recording, settings, tools)
    subtitles = store.stage(
        "subtitles",
        tuple[Subtitles, ...],
        {
            "segments": episode.segments,
            "translations": episode.translations,
            "limits": asdict(settings.limits),
        },
        lambda _: _subtitles(episode, settings),
        note=lambda found: ", ".join(
            f"{one.language}: {len(one.cues)} cues, {one.too_fast} too fast" for one in found
        ),
    )
    with stages.stage("bundle") as stage:
        source = readable(recording, store.folder)
        manifest = write_bundle(output, source, episode, subtitles, show, settings, stage)
        stage.note(f"{len(manifest['files'])} files")
    with stages.stage("validate") as stage:
        checks = validate_bundle(output, settings.limits)
        failed = sum(not check.passed for check in checks)
        stage.note(f"{len(checks)} checks, {failed} failed")
    seconds = dict(stages.seconds)
    return Result(episode, transcript, subtitles, output, manifest, checks, seconds, tuple(store.kept))


def _decoded(store: StageStore, recording: Path, digest: str) -> tuple[Source, Path]:
    """Decode the recording, again where the decoded file of an earlier run is gone or breaks off."""
    audio = store.folder / f"audio-{digest[:16]}.flac"
    sound = store.stage(
        "decode",
        Source,
        {"file": digest},
        lambda stage: decode(recording, readable(recording, store.folder), audio, stage),
        note=lambda found: f"{found.duration:.1f} s at {found.sampling_rate} Hz",
        is_current=is_whole(audio),
    )
    if sound.clipped_share > _MUCH_CLIPPED and store.stages.console is not None:
        store.stages.console.print(
            f"[yellow]{100 * sound.clipped_share:.1f} % of the samples are clipped; expect wrong words[/]"
        )
    return sound, audio


def _understood(
    store: StageStore,
    sound: Source,
    transcript: Transcript,
    recording: Path,
    settings: Settings,
    tools: Tools,
) -> Episode:
    """Run the stages that work on text."""
    terms, language = settings.terms, transcript.language
    segments = store.stage(
        "segment",
        tuple[Segment, ...],
        {"transcript": transcript, "terms": terms, "longest": settings.max_sentence_seconds},
        lambda _: segment(transcript, terms=terms, max_seconds=settings.max_sentence_seconds),
        note=lambda found: f"{len(found)} sentences",
    )
    sentiment = tools.sentiment or Lexicon()
    moods = store.stage(
        "sentiment",
        tuple[Mood, ...],
        {"segments": segments, "sentiment": sentiment.digest},
        lambda _: tuple(sentiment.judge([one.text for one in segments])),
        note=_moods_note,
    )
    about = {"segments": segments, "language": language, "terms": terms}
    keywords = store.stage(
        "keywords",
        tuple[Keyword, ...],
        about | {"limit": settings.num_keywords},
        lambda _: find_keywords(segments, language=language, limit=settings.num_keywords, terms=terms),
        note=lambda found: ", ".join(word.text for word in found[:4]),
    )
    chapters = store.stage(
        "chapters",
        tuple[Chapter, ...],
        about | {"duration": sound.duration, "shortest": settings.min_chapter_seconds},
        lambda _: find_chapters(
            segments,
            duration=sound.duration,
            language=language,
            min_seconds=settings.min_chapter_seconds,
            terms=terms,
        ),
        note=lambda found: f"{len(found)} chapters",
    )
    summary = store.stage(
        "summary",
        Summary,
        about
        | {"keywords": keywords, "title": settings.title, "sentences": settings.num_sentences}
        | ({"summariser": tools.summariser.digest} if tools.summariser else {}),
        lambda _: summarise(
            segments,
            keywords,
            title=settings.title,
            num_sentences=settings.num_sentences,
            language=language,
            terms=terms,
            summariser=tools.summariser,
        ),
        note=lambda found: found.title,
    )
    translations = tuple(_translated(store, segments, interpreter) for interpreter in tools.interpreters)
    if not translations and store.stages.console is not None:
        store.stages.console.print("  [dim]translate  left out: no translation model was given[/]")
    written = datetime.fromtimestamp(int(recording.stat().st_mtime), tz=timezone.utc).isoformat()
    return Episode(
        format=FORMAT,
        language=language,
        published=settings.published or written,
        source=sound,
        recognizer=transcript.recognizer,
        summary=summary,
        keywords=keywords,
        chapters=chapters,
        segments=segments,
        moods=moods,
        translations=translations,
    )


def _moods_note(moods: tuple[Mood, ...]) -> str:
    labels = [mood.label for mood in moods]
    return ", ".join(f"{labels.count(label)} {label}" for label in dict.fromkeys(labels))


def _translated(store: StageStore, segments: tuple[Segment, ...], interpreter: Interpreter) -> Translation:
    return store.stage(
        f"translate-{interpreter.language}",
        Translation,
        {"segments": segments, "interpreter": interpreter.digest},
        lambda stage: translate(segments, interpreter, stage),
        note=lambda found: f"{found.terms_kept} of {found.terms} terms kept" if found.terms else "",
    )


def _subtitles(episode: Episode, settings: Settings) -> tuple[Subtitles, ...]:
    limits = settings.limits
    return (
        make_subtitles(episode.segments, limits, language=episode.language),
        *(
            translated_subtitles(episode.segments, one.texts, limits, language=one.language)
            for one in episode.translations
        ),
    )
