"""The folder that is published: every file, and a manifest with their digests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.podcast.chapter_files import chapters_json, write_id3
from examples.podcast.content import description, markdown, notes_html
from examples.podcast.episode import Episode
from examples.podcast.feed import Item, episode_guid, make_feed
from examples.podcast.player import player_page
from examples.podcast.publish_audio import write_mp3
from examples.podcast.records import Segment, Subtitles
from examples.podcast.settings import Settings, Show
from examples.podcast.subtitles import to_srt, to_vtt
from trtforge._files import file_sha256, json_bytes, read_json, write_bytes, write_json
from trtforge._progress import OnProgress
from trtforge.errors import ConfigError

MANIFEST, KEPT = "manifest.json", ".stages"
FORMAT = "trtforge.podcast.bundle/1"
_COVER_SIDES = (1400, 3000)


def write_bundle(
    folder: Path,
    readable_file: Path,
    episode: Episode,
    subtitles: Sequence[Subtitles],
    show: Show,
    settings: Settings,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Write the bundle and return its manifest.

    Parameters
    ----------
    folder : what gets the files; those of an earlier bundle are replaced or removed.
    readable_file : the recording, as soundfile reads it.
    episode : what was found.
    subtitles : of the spoken language first, then of each translation.
    show, settings : as the user set them.
    on_progress : called with samples of audio done and in all.

    Raises
    ------
    ConfigError : the cover is missing, or not as Apple wants it; or the feed so far has no place for this
        episode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = _files_before(folder)
    slug = episode.summary.slug
    audio = folder / f"{slug}.mp3"
    unfinished = folder / KEPT / "unfinished.mp3"
    try:
        encoded = write_mp3(readable_file, unfinished, on_progress)
        write_id3(
            unfinished, episode.chapters, title=episode.summary.title, author=show.author, show=show.title
        )
        image = _copy_cover(show, folder)
        unfinished.replace(audio)
    finally:
        unfinished.unlink(missing_ok=True)
    files, transcripts = _text_files(episode, subtitles)
    item = Item(
        title=episode.summary.title,
        description=description(episode),
        notes=notes_html(episode),
        audio=audio.name,
        num_bytes=audio.stat().st_size,
        duration=episode.source.duration,
        guid=settings.guid or episode_guid(show.feed_url, episode.source.sha256),
        published=episode.published,
        transcripts=transcripts,
        chapters_file="chapters.json",
        chapters=episode.chapters,
        episode=settings.episode,
        season=settings.season,
    )
    files["notes.md"] = markdown(episode, show).encode()
    files["description.txt"] = (item.description + "\n").encode()
    files["feed.xml"] = make_feed(show, item, image=image, earlier=settings.earlier_feed)
    names = [name for name, _ in transcripts]
    page = player_page(episode, show, subtitles, audio=audio.name, image=image, transcripts=names)
    files["index.html"] = page.encode()
    for name, data in files.items():
        write_bytes(folder / name, data)
    manifest = _manifest(folder, [audio.name, *([image] if image else []), *files], item, encoded)
    write_json(folder / MANIFEST, manifest)
    for name in before - set(manifest["files"]):
        (folder / name).unlink(missing_ok=True)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a bundle.

    Raises
    ------
    ConfigError : the folder holds no bundle.
    """
    told: dict[str, Any] = read_json(folder / MANIFEST, what="manifest of a bundle", error=ConfigError)
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ConfigError(f"{folder / MANIFEST} is no manifest of a bundle: its format is not {FORMAT!r}")
    return told


def check_folder(folder: Path, recording: Path) -> None:
    """Refuse a folder in which files that are not ours would be replaced or removed.

    Raises
    ------
    ConfigError : the folder is a file, holds what no earlier run wrote, or holds the recording.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder", settings=("output",))
    if recording.resolve().parent == folder.resolve():
        raise ConfigError(
            f"the recording {recording.name} lies in the folder of the bundle, whose files are replaced",
            hint="give the bundle a folder of its own",
            settings=("output",),
        )
    if not folder.is_dir() or (folder / KEPT).is_dir() or _files_before(folder):
        return
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if others:
        raise ConfigError(
            f"{folder} holds files that no earlier run wrote, such as {others[0]}",
            hint="give the bundle a folder of its own",
            settings=("output",),
        )


def _files_before(folder: Path) -> set[str]:
    """Return the names in the manifest of an earlier bundle; what it does not name is not ours to remove."""
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {name for name in told["files"] if told["format"] == FORMAT and Path(name).name == name}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _text_files(
    episode: Episode, subtitles: Sequence[Subtitles]
) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    files: dict[str, bytes] = {
        "episode.json": episode.to_json(),
        "chapters.json": json_bytes(chapters_json(episode.chapters, title=episode.summary.title)),
    }
    transcripts = []
    for one in subtitles:
        named = {
            f"transcript.{one.language}.vtt": to_vtt(one.cues).encode(),
            f"transcript.{one.language}.srt": to_srt(one.narrow_cues).encode(),
        }
        texts = [segment.text for segment in episode.segments]
        for translation in episode.translations:
            if translation.language == one.language:
                texts = list(translation.texts)
        named[f"transcript.{one.language}.json"] = json_bytes(transcript_json(episode.segments, texts))
        files |= named
        transcripts += [(name, one.language) for name in named]
    return files, transcripts


def transcript_json(segments: Sequence[Segment], texts: Sequence[str]) -> dict[str, Any]:
    """Return a transcript in the podcast namespace's JSON format 1.0.0; speakers are not known."""
    return {
        "version": "1.0.0",
        "segments": [
            {"startTime": segment.start, "endTime": segment.end, "body": text}
            for segment, text in zip(segments, texts, strict=True)
        ],
    }


def _copy_cover(show: Show, folder: Path) -> str:
    if not show.image:
        return ""
    from PIL import Image, UnidentifiedImageError

    path = Path(show.image)
    try:
        with Image.open(path) as image:
            width, height, kind = image.width, image.height, image.format
    except (OSError, UnidentifiedImageError) as error:
        raise ConfigError(f"the cover {path.name} cannot be read: {error}", settings=("image",)) from error
    least, most = _COVER_SIDES
    if kind not in ("PNG", "JPEG") or width != height or not least <= width <= most:
        raise ConfigError(
            f"the cover must be PNG or JPEG, square, {least} to {most} pixels; {path.name} is {kind}, "
            f"{width} by {height}",
            settings=("image",),
        )
    name = "cover.png" if kind == "PNG" else "cover.jpg"
    write_bytes(folder / name, path.read_bytes())
    return name


def _manifest(folder: Path, names: Sequence[str], item: Item, encoded: bool) -> dict[str, Any]:
    files: Mapping[str, Any] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
        for name in sorted(names)
    }
    return {
        "format": FORMAT,
        "guid": item.guid,
        "audio": {"file": item.audio, "seconds": round(item.duration, 3), "encoded_anew": encoded},
        "files": files,
    }
